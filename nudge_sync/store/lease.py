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
from typing import Annotated, TypeAlias

from pydantic import Field

from nudge_sync.base.progress import Progress
from nudge_sync.connector import Document, Record, Records
from nudge_sync.errors import DamagedRecord, LeaseHeld, LeaseLost, NudgeSyncError
from nudge_sync.store import checksum, schema
from nudge_sync.store.ledger import now

KEY = "lease"
_PLACE = "__nudge_revisions"
_RENEW_AFTER = 1 / 3
"""Share of its time after which a lease is renewed."""
_LOOK_AFTER = 1.0
"""Seconds after which a holder looks whether the lease is still its own: `unlock`, or a machine
whose clock is far ahead, may have taken it early.
"""
_SKEW = 0.1
"""Share of a lease's time by which clocks of two machines may differ."""


Instant: TypeAlias = tuple[float, ...]
"""The same moment by several clocks, in seconds."""


def instant() -> Instant:
    """Now by the clock that nobody sets, by the one that runs on while the machine sleeps, and by
    the one on the wall, which alone sees that a virtual machine was halted.
    """
    asleep = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.monotonic(), time.clock_gettime(asleep), time.time()


def elapsed(since: Instant, until: Instant) -> float:
    """Seconds between two instants by the clock that says most: better to ask once too often."""
    return max(late - early for early, late in zip(since, until, strict=True))


@dataclass(frozen=True)
class Lease:
    """Who may write; times in milliseconds since 1970, by the holder's clock."""

    __pydantic_config__ = schema.NOTHING_ELSE

    token: str
    host: str
    process: Annotated[str, Field(pattern=r"\A[^/]*/[^/]*/[0-9]{1,7}/[^/]*\z")]
    """Boot, process-id namespace, process id and start time: tells a dead process for certain."""
    acquired: schema.Moment
    expires: schema.Moment
    seconds: Annotated[float, Field(gt=0, lt=1e9, allow_inf_nan=False)]
    generation: schema.Count

    def describe(self) -> str:
        """Who holds it since when, for people."""
        since = datetime.fromtimestamp(self.acquired / 1000, UTC).isoformat(timespec="seconds")
        until = datetime.fromtimestamp(self.expires / 1000, UTC).isoformat(timespec="seconds")
        pid = self.process.split("/")[2]
        return f"process {pid} on {self.host} since {since}, until {until}"


class HeldLease:
    """A lease this process holds; `renew` before every write."""

    def __init__(self, records: Records, lease: Lease, began: Instant) -> None:
        self._records = records
        self._lease = lease
        self._renewed = self._seen = began

    @property
    def generation(self) -> int:
        """Grows with every change of the lease, whoever makes it."""
        return self._lease.generation

    def renew(self) -> None:
        """Make sure that the lease is still this process's. Raises LeaseLost.

        Looks into the database once a second at most, and extends the lease once a third of its
        time has gone by.
        """
        began = instant()
        if elapsed(self._renewed, began) >= self._lease.seconds * _RENEW_AFTER:
            self._extend(began)
        elif elapsed(self._seen, began) >= _LOOK_AFTER:
            self._look(began)

    def confirm(self) -> None:
        """The same, but it looks into the database however short ago it did."""
        self._look(instant())

    def _extend(self, began: Instant) -> None:
        renewed = _extended(self._lease)
        if not _swap(self._records, renewed, self._lease.generation):
            raise LeaseLost
        self._lease, self._renewed, self._seen = renewed, began, began

    def _look(self, began: Instant) -> None:
        stored = _stored(self._records)
        if stored is None or stored.token != self._lease.token or stored.expires == 0:
            raise LeaseLost
        self._seen = began

    def beating(self, progress: Progress) -> Progress:
        """`progress`, renewing the lease whenever it is called."""

        def beat(stage: str, done: int, total: int) -> None:
            self.renew()
            progress(stage, done, total)

        return beat

    def release(self) -> None:
        """Let others in; harmless if the lease was lost."""
        _swap(self._records, replace(_extended(self._lease), expires=0), self._lease.generation)


@contextmanager
def held(records: Records, seconds: float) -> Iterator[HeldLease]:
    """The lease of the collection whose ledger is `records`, given back at the end.

    Raises LeaseHeld, which says who holds it since when.
    """
    began = instant()
    lease = HeldLease(records, _acquire(records, seconds), began)
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
    """Whose lease it is now, or None if it is free or has run out. Raises DamagedRecord."""
    lease = _stored(records)
    return None if lease is None or _free(lease) else lease


def unlock(records: Records) -> Lease | None:
    """Take the lease from whoever holds it; returns whose it was.

    A holder that still runs finds out at its next renewal and stops writing. A record that cannot
    be read is replaced: nothing tells whose it was.
    """
    try:
        lease = _stored(records)
    except DamagedRecord:
        _replace_damaged(records)
        return None
    if lease is None or lease.expires == 0:
        return None
    freed = replace(lease, expires=0, generation=lease.generation + 1)
    if not _swap(records, freed, lease.generation):
        raise LeaseHeld("the lease changed hands just now; look again")
    return lease


def _replace_damaged(records: Records) -> None:
    # The clock, because nobody may have come to hold the new lease's generation already.
    moment = now()
    lease = Lease("", "", _process(0), moment, 0, 1.0, generation=moment)
    records.put([checksum.sealed(KEY, _document(lease))])


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
    return records.swap(checksum.sealed(KEY, _document(lease)), expected)


def _document(lease: Lease) -> Document:
    return {"kind": "lease", "generation": lease.generation, "lease": asdict(lease)}


def _stored(records: Records) -> Lease | None:
    for record in records.get([KEY]):
        try:
            return _read(record)
        except DamagedRecord as error:
            raise DamagedRecord(f"{error}; for the lease: nudge-sync unlock --force") from None
    return None


def _read(record: Record) -> Lease:
    lease = schema.built(
        Lease, checksum.opened([record], _PLACE)[0].document.get("lease"), record, _PLACE
    )
    if record.document.get("generation") != lease.generation:
        raise schema.misshapen(record, _PLACE, "two generations")
    return lease


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
