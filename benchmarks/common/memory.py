"""How much memory this process has at most while something runs (Linux)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

_INTERVAL_SECONDS = 0.01


@dataclass
class MemoryPeak:
    """MiB."""

    anonymous: float = 0.0
    """Of its own: what has no file behind it."""
    resident: float = 0.0
    """With the pages of files that an embedded engine has mapped, which the system can drop."""

    def look(self) -> None:
        fields = dict(
            line.split(":", 1)
            for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        )
        anonymous, resident = (int(fields[name].split()[0]) for name in ("RssAnon", "VmRSS"))
        self.anonymous = max(self.anonymous, anonymous / 1024)
        self.resident = max(self.resident, resident / 1024)


@contextmanager
def watch_memory() -> Iterator[MemoryPeak]:
    """Look at the memory all the time, and yield the most that there was."""
    peak, stop = MemoryPeak(), Event()
    peak.look()

    def watch() -> None:
        while not stop.wait(_INTERVAL_SECONDS):
            peak.look()

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
