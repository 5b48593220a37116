"""The lease: one writer a collection, held in the database rather than in the process."""

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
from nudge_sync.connector import Document, Record
from nudge_sync.errors import DamagedRecord, LeaseHeld, LeaseLost, NudgeSyncError
from nudge_sync.store import checksum, schema
from nudge_sync.store.ledger import now_ms
from nudge_sync.store.target import Target

LEASE_KEY = "lease"
_RENEWAL_SHARE = 1 / 3
"""Share of its time after which a lease is renewed."""
_CHECK_INTERVAL_SECONDS = 1.0
"""Seconds after which a holder checks that the lease is still its own: `unlock`, or a machine
whose clock is far ahead, may have taken it early.
"""
_CLOCK_SKEW_SHARE = 0.1
"""Share of a lease's time by which clocks of two machines may differ."""


Instant: TypeAlias = tuple[float, ...]
"""One moment by several clocks, in seconds."""


def read_clocks() -> Instant:
    """Return now by three clocks.

    By the one that nobody sets, by the one that runs on while the machine sleeps, and by
    the one on the wall, which alone sees that a virtual machine was halted.
    """
    boot_clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.monotonic(), time.clock_gettime(boot_clock), time.time()


def elapsed_seconds(since: Instant, until: Instant) -> float:
    """Return the seconds between two instants, by the clock that says most.

    A lease that is renewed once too often does no harm.
    """
    return max(late - early for early, late in zip(since, until, strict=True))


@dataclass(frozen=True)
class Lease:
    """Who may write; times in milliseconds since 1970, by the holder's clock."""

    __pydantic_config__ = schema.FORBID_EXTRA

    token: str
    host: str
    process: Annotated[str, Field(pattern=r"\A[^/]*/[^/]*/[0-9]{1,7}/[^/]*\z")]
    """Boot, process-id namespace, process id and start time: tells a dead process for certain."""
    acquired: schema.TimestampMs
    expires: schema.TimestampMs
    seconds: Annotated[float, Field(gt=0, lt=1e9, allow_inf_nan=False)]
    generation: schema.Count

    def describe(self) -> str:
        """Return who holds it since when, for people."""
        since = datetime.fromtimestamp(self.acquired / 1000, UTC).isoformat(timespec="seconds")
        until = datetime.fromtimestamp(self.expires / 1000, UTC).isoformat(timespec="seconds")
        pid = self.process.split("/")[2]
        return f"process {pid} on {self.host} since {since}, until {until}"


class HeldLease:
    """A lease that this process holds; call `renew` before every write."""

    def __init__(self, target: Target, lease: Lease, acquired_at: Instant) -> None:
        self._target = target
        self._lease = lease
        self._renewed_at = self._confirmed_at = acquired_at

    @property
    def generation(self) -> int:
        """The number of changes of the lease, whoever made them."""
        return self._lease.generation

    def renew(self) -> None:
        """Check that the lease is still this process's, and extend it in time. Raises LeaseLost.

        Looks into the database once a second at most, and extends the lease once a third of its
        time has gone by.
        """
        instant = read_clocks()
        if elapsed_seconds(self._renewed_at, instant) >= self._lease.seconds * _RENEWAL_SHARE:
            self._extend(instant)
        elif elapsed_seconds(self._confirmed_at, instant) >= _CHECK_INTERVAL_SECONDS:
            self._check_ownership(instant)

    def confirm(self) -> None:
        """Check in the database, now, that the lease is still this process's. Raises LeaseLost."""
        self._check_ownership(read_clocks())

    def _extend(self, instant: Instant) -> None:
        extended = _extend_expiry(self._lease)
        if not _swap_lease(self._target, extended, self._lease.generation):
            raise LeaseLost
        self._lease, self._renewed_at, self._confirmed_at = extended, instant, instant

    def _check_ownership(self, instant: Instant) -> None:
        stored = _read_lease(self._target)
        if stored is None or stored.token != self._lease.token or stored.expires == 0:
            raise LeaseLost
        self._confirmed_at = instant

    def add_heartbeat(self, progress: Progress) -> Progress:
        """Return `progress` with a heartbeat: it renews the lease whenever it is called."""

        def report_progress(stage: str, done: int, total: int) -> None:
            self.renew()
            progress(stage, done, total)

        return report_progress

    def release(self) -> None:
        """Release the lease; does nothing if it was lost."""
        _swap_lease(
            self._target, replace(_extend_expiry(self._lease), expires=0), self._lease.generation
        )


@contextmanager
def hold_lease(target: Target, seconds: float) -> Iterator[HeldLease]:
    """Hold the lease of a collection inside, and release it at the end.

    Raises LeaseHeld, which says who holds it since when.
    """
    started_at = read_clocks()
    lease = HeldLease(target, _acquire(target, seconds), started_at)
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


def read_active_lease(target: Target) -> Lease | None:
    """Return the lease if somebody holds it; None if it is free or has run out.

    Raises DamagedRecord.
    """
    lease = _read_lease(target)
    return None if lease is None or _is_free(lease) else lease


def break_lease(target: Target, token: str | None = None) -> Lease | None:
    """Take the lease from whoever holds it, and return whose it was.

    A holder that still runs finds out at its next renewal and stops writing. A record that cannot
    be read is replaced: nothing tells whose it was.
    token: takes it from the holder with this token alone. Raises LeaseHeld where another one has
    come to hold it, and then DamagedRecord, too.
    """
    try:
        lease = _read_lease(target)
    except DamagedRecord:
        if token is not None:
            raise
        _replace_damaged(target)
        return None
    if lease is None or lease.expires == 0:
        return None
    if token is not None and lease.token != token:
        raise LeaseHeld(
            f"{lease.describe()} holds the lease by now, and not the one that was confirmed; "
            "look at it again"
        )
    freed = replace(lease, expires=0, generation=lease.generation + 1)
    if not _swap_lease(target, freed, lease.generation):
        raise LeaseHeld("the lease changed hands just now; look again")
    return lease


def _replace_damaged(target: Target) -> None:
    # The clock, because nobody may have come to hold the new lease's generation already.
    timestamp = now_ms()
    lease = Lease("", "", _format_process(0), timestamp, 0, 1.0, generation=timestamp)
    target.ledger_records.put([checksum.add_checksum(LEASE_KEY, _to_document(lease))])


def _acquire(target: Target, seconds: float) -> Lease:
    current = _read_lease(target)
    if current is not None and not _is_free(current):
        raise LeaseHeld(
            f"{current.describe()} works on this collection. Wait, or if that process is gone for "
            "certain: `nudge-sync unlock --force`"
        )
    generation = current.generation if current else None
    acquired = now_ms()
    lease = Lease(
        token=secrets.token_hex(8),
        host=socket.gethostname(),
        process=_format_process(os.getpid()),
        acquired=acquired,
        expires=acquired + int(seconds * 1000),
        seconds=seconds,
        generation=(generation or 0) + 1,
    )
    if not _swap_lease(target, lease, generation):
        raise LeaseHeld("another process took the lease at this moment; try again")
    return lease


def _extend_expiry(lease: Lease) -> Lease:
    expires = now_ms() + int(lease.seconds * 1000)
    return replace(lease, expires=expires, generation=lease.generation + 1)


def _swap_lease(target: Target, lease: Lease, expected_generation: int | None) -> bool:
    record = checksum.add_checksum(LEASE_KEY, _to_document(lease))
    return target.ledger_records.swap(record, expected_generation)


def _to_document(lease: Lease) -> Document:
    return {"kind": "lease", "generation": lease.generation, "lease": asdict(lease)}


def _read_lease(target: Target) -> Lease | None:
    for record in target.ledger_records.get([LEASE_KEY]):
        try:
            return _parse_lease(record, target.ledger_name)
        except DamagedRecord as error:
            raise DamagedRecord(f"{error}; for the lease: `nudge-sync unlock --force`") from None
    return None


def _parse_lease(record: Record, collection_name: str) -> Lease:
    checksum.verify_checksums([record], collection_name)
    lease = schema.parse_content(Lease, record.document.get("lease"), record, collection_name)
    if record.document.get("generation") != lease.generation:
        raise schema.build_record_error(record, collection_name, "two generations")
    return lease


def _is_free(lease: Lease) -> bool:
    is_expired = now_ms() - lease.expires > lease.seconds * 1000 * _CLOCK_SKEW_SHARE
    return lease.expires == 0 or is_expired or _is_dead(lease)


def _is_dead(lease: Lease) -> bool:
    """Return whether the holder ran on this machine, in this process-id namespace, and is gone."""
    if lease.host != socket.gethostname() or not _BOOT_AND_NAMESPACE:
        return False
    boot, namespace, pid, start_time = lease.process.split("/")
    if [boot, namespace] != _BOOT_AND_NAMESPACE.split("/"):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # alive, under another user
    # An unreadable start time (hidepid) is no proof; another one means that the pid was reused.
    return _read_start_time(int(pid)) not in {"", start_time}


def _read_boot_and_namespace() -> str:
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot_id}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


_BOOT_AND_NAMESPACE = _read_boot_and_namespace()


def _format_process(pid: int) -> str:
    return f"{_BOOT_AND_NAMESPACE or '/'}/{pid}/{_read_start_time(pid)}"


def _read_start_time(pid: int) -> str:
    """Return the clock ticks since boot at which the process started.

    "zombie" if it has ended; "" if that
    cannot be read.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The second field is the name in brackets, which may hold spaces and brackets itself.
    fields = stat.rpartition(")")[2].split()
    return "zombie" if fields[0] == "Z" else fields[19]
