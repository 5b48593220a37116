"""The lease: one writer a collection, kept in the database rather than in the process."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from nudge_sync import digest
from nudge_sync.connector import Records
from nudge_sync.errors import LeaseHeld, LeaseLost, NudgeSyncError
from nudge_sync.revisions import now

_KEY = "lease"
_RENEW_AFTER = 1 / 3
"""Share of its time after which a lease is renewed; until then nobody else may take it."""
_SKEW = 0.1
"""Share of a lease's time by which clocks of two machines may differ."""


@dataclass(frozen=True)
class Lease:
    """Who may write; times in milliseconds since 1970, by the holder's clock."""

    token: str
    host: str
    process: str
    """Boot, process-id namespace, process id and start time: tells a dead process for certain."""
    acquired: int
    expires: int
    seconds: float
    generation: int

    def describe(self) -> str:
        """Who holds it since when, for people."""
        since = datetime.fromtimestamp(self.acquired / 1000, UTC).isoformat(timespec="seconds")
        until = datetime.fromtimestamp(self.expires / 1000, UTC).isoformat(timespec="seconds")
        pid = self.process.split("/")[2]
        return f"process {pid} on {self.host} since {since}, until {until}"


class HeldLease:
    """A lease this process holds; `renew` before every write."""

    def __init__(self, records: Records, lease: Lease) -> None:
        self._records = records
        self._lease = lease
        self._confirmed = time.monotonic()

    @property
    def generation(self) -> int:
        """Grows with every change of the lease, whoever makes it."""
        return self._lease.generation

    def renew(self) -> None:
        """Make sure that the lease is still this process's. Raises LeaseLost.

        Asks the database only once a third of the lease's time has gone by: before that nobody
        else may have taken it.
        """
        if time.monotonic() - self._confirmed < self._lease.seconds * _RENEW_AFTER:
            return
        started = time.monotonic()
        renewed = _extended(self._lease)
        if not _swap(self._records, renewed, self._lease.generation):
            raise LeaseLost
        self._lease, self._confirmed = renewed, started

    def release(self) -> None:
        """Let others in; harmless if the lease was lost."""
        _swap(self._records, replace(_extended(self._lease), expires=0), self._lease.generation)


@contextmanager
def held(records: Records, seconds: float) -> Iterator[HeldLease]:
    """The lease of the collection whose ledger is `records`, given back at the end.

    Raises LeaseHeld, which says who holds it since when.
    """
    lease = HeldLease(records, _acquire(records, seconds))
    try:
        yield lease
    finally:
        _release_quietly(lease)


def _release_quietly(lease: HeldLease) -> None:
    try:
        lease.release()
    except NudgeSyncError:
        # It runs out by itself, and the error that brought us here matters more.
        return


def holder(records: Records) -> Lease | None:
    """Whose lease it is now, or None if it is free or has run out."""
    lease = _stored(records)
    return None if lease is None or _free(lease) else lease


def unlock(records: Records) -> Lease | None:
    """Take the lease from whoever holds it; returns whose it was.

    A holder that still runs finds out at its next renewal and stops writing.
    """
    lease = _stored(records)
    if lease is None or lease.expires == 0:
        return None
    freed = replace(lease, expires=0, generation=lease.generation + 1)
    if not _swap(records, freed, lease.generation):
        raise LeaseHeld("the lease changed hands just now; look again")
    return lease


def _acquire(records: Records, seconds: float) -> Lease:
    found = _stored(records)
    if found is not None and not _free(found):
        raise LeaseHeld(
            f"{found.describe()} works on this collection. Wait, or if that process is gone for "
            "certain: nudge-sync unlock --force"
        )
    generation = found.generation if found else None
    started = now()
    lease = Lease(
        token=secrets.token_hex(8),
        host=socket.gethostname(),
        process=_process(os.getpid()),
        acquired=started,
        expires=started + int(seconds * 1000),
        seconds=seconds,
        generation=(generation or 0) + 1,
    )
    if not _swap(records, lease, generation):
        raise LeaseHeld("another process took the lease at this moment; try again")
    return lease


def _extended(lease: Lease) -> Lease:
    expires = now() + int(lease.seconds * 1000)
    return replace(lease, expires=expires, generation=lease.generation + 1)


def _swap(records: Records, lease: Lease, expected: int | None) -> bool:
    document = {"kind": "lease", "generation": lease.generation, "lease": asdict(lease)}
    return records.swap(digest.sealed(_KEY, document), expected)


def _stored(records: Records) -> Lease | None:
    for record in records.get([_KEY]):
        return Lease(**record.document["lease"])
    return None


def _free(lease: Lease) -> bool:
    late = now() - lease.expires > lease.seconds * 1000 * _SKEW
    return lease.expires == 0 or late or _is_dead(lease)


def _is_dead(lease: Lease) -> bool:
    """Whether the holder ran on this machine, in this process-id namespace, and is gone."""
    if lease.host != socket.gethostname() or not _BOOT:
        return False
    boot, namespace, pid, started = lease.process.split("/")
    if [boot, namespace] != _BOOT.split("/"):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # alive, under another user
    # An unreadable start time (hidepid) is no proof; another one means that the pid was reused.
    return _start_time(int(pid)) not in {"", started}


def _boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


_BOOT = _boot()


def _process(pid: int) -> str:
    return f"{_BOOT or '/'}/{pid}/{_start_time(pid)}"


def _start_time(pid: int) -> str:
    """Clock ticks since boot at which the process started, "zombie" if it has ended; "" if that
    cannot be read.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The second field is the name in brackets, which may hold spaces and brackets itself.
    fields = stat.rpartition(")")[2].split()
    return "zombie" if fields[0] == "Z" else fields[19]
