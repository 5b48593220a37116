"""Folders in memory, where there is enough of it, since engines call fsync often."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_RAM_DISK = Path("/dev/shm")
_MIN_FREE_BYTES = 2 * 2**30


@contextmanager
def ram_folder() -> Iterator[Path]:
    """Make an empty folder that is deleted at the end of the block."""
    fast = _RAM_DISK.is_dir() and shutil.disk_usage(_RAM_DISK).free >= _MIN_FREE_BYTES
    with tempfile.TemporaryDirectory(prefix="nudge-sync-", dir=_RAM_DISK if fast else None) as path:
        yield Path(path)
