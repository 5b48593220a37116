"""The hold: a person's word that no cycle may write to a collection until it is released.

Its record stands in the ledger, beside the lease, so that it holds on every machine. A rollback
places it before it writes its first row: there is no moment at which a cycle could write again
what a person is taking back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord, InputError, LeaseLost, OnHold
from nudge_sync.store import checksum, schema
from nudge_sync.store.ledger import now_ms
from nudge_sync.store.target import Target

HOLD_KEY = "hold"
"""The key of its record, which stands in the ledger."""
MAX_TEXT_LENGTH = 500
"""Characters of a name or a reason that are kept."""
_MAX_ATTEMPTS = 10
"""Swaps that are tried while other processes change the record."""

_Text = Annotated[str, Field(max_length=MAX_TEXT_LENGTH)]


@dataclass(frozen=True)
class HoldRequest:
    """Who puts a collection on hold, and why."""

    by: str
    reason: str = ""


@dataclass(frozen=True)
class Hold:
    """Who put a collection on hold, when and why; a released one has no time."""

    __pydantic_config__ = schema.FORBID_EXTRA

    since: schema.TimestampMs = 0
    """Milliseconds since 1970, by the clock of whoever placed it; 0: not on hold."""
    by: _Text = ""
    reason: _Text = ""
    generation: schema.Count = 0

    def describe(self) -> str:
        """Return who placed it, when and why, for people."""
        since = datetime.fromtimestamp(self.since / 1000, UTC).isoformat(timespec="seconds")
        return f"by {self.by} since {since}" + (f": {self.reason}" if self.reason else "")

    def summary(self) -> dict[str, Any]:
        """Return the `hold` field of `check`, `plan`, `hold`, `release` and `rollback --json`."""
        return {"since": self.since, "by": self.by, "reason": self.reason}


def read_hold(target: Target) -> Hold | None:
    """Return the hold that a collection is on; None if it is on none. Raises DamagedRecord."""
    stored = _read_stored_hold(target)
    return stored if stored.since else None


def refuse_hold(target: Target) -> None:
    """Raise OnHold, which says who placed it and what ends it, if the collection is on hold."""
    hold = read_hold(target)
    if hold is not None:
        raise OnHold(format_refusal(target, hold))


def format_refusal(target: Target, hold: Hold) -> str:
    """Return why nothing is written to the collection, and what can be done about it."""
    return (
        f'"{target.facts.collection}" is on hold {hold.describe()}. No cycle writes to it until '
        "`nudge-sync release` (or `apply --release`); `nudge-sync plan` shows what one would write"
    )


def place_hold(
    target: Target,
    request: HoldRequest,
    replaced: int | None = None,
    *,
    keeps_reason: bool = False,
) -> Hold:
    """Put the collection on hold, in place of the hold that it may be on already; return it.

    Needs no lease: a cycle at work looks for a hold again before it writes its first row, and
    finishes what it has begun to write. A record that cannot be read is replaced. Raises LeaseLost
    while others keep changing the record.
    replaced: the generation of the only hold that may be replaced. Raises InputError where the
    collection is on another one.
    keeps_reason: adds to the reason who else had the collection on hold, and why: for what places a
    hold unasked, so that whoever releases it knows of both.
    """
    for current in _attempt_current(target):
        if replaced is not None and current.since and current.generation != replaced:
            raise InputError(_format_other_hold(current))
        reason = _add_reason(request, current) if keeps_reason else request.reason
        by, reason = request.by[:MAX_TEXT_LENGTH], reason[:MAX_TEXT_LENGTH]
        placed = Hold(max(now_ms(), 1), by, reason, current.generation + 1)
        if _swap_hold(target, placed, current.generation or None):
            return placed
    raise LeaseLost(
        f'other processes keep changing the hold in "{target.ledger_name}"; run the command again'
    )


def release_hold(target: Target, generation: int | None = None) -> Hold | None:
    """Let cycles write to the collection again; return the hold that it was on, None if on none.

    Raises LeaseLost if somebody else changed the hold at this moment, and DamagedRecord.
    generation: ends the hold of this generation alone. Raises InputError where the collection is
    on another one.
    """
    hold = read_hold(target)
    if hold is None:
        return None
    if generation is not None and hold.generation != generation:
        raise InputError(_format_other_hold(hold))
    if not _swap_hold(target, Hold(generation=hold.generation + 1), hold.generation):
        raise LeaseLost(
            f'the hold in "{target.ledger_name}" was changed by another process at this moment; '
            "look at it with `nudge-sync check`, then run the command again"
        )
    return hold


def _add_reason(request: HoldRequest, current: Hold) -> str:
    """Return the reason of a hold, and what the hold is that it takes the place of, if any."""
    if not current.since:
        return request.reason
    # Room for both: whoever releases the hold has to know of the former one.
    reason = request.reason[: MAX_TEXT_LENGTH // 2]
    if current.by == request.by and current.reason.startswith(reason):
        # The same, tried again.
        return current.reason
    earlier = f"before that on hold {current.describe()}"
    return f"{reason}; {earlier}" if reason else earlier


def _format_other_hold(hold: Hold) -> str:
    return (
        f"the collection is on hold {hold.describe()}, which is not the hold that was confirmed; "
        "look at it again"
    )


def _attempt_current(target: Target) -> Iterator[Hold]:
    """Yield what is stored, to swap the record at its generation, a few times."""
    for _ in range(_MAX_ATTEMPTS):
        try:
            yield _read_stored_hold(target)
        except DamagedRecord:
            # By the clock, since nobody can have come to that many changes.
            replacement = Hold(generation=now_ms())
            target.ledger_records.put([_build_record(replacement)])
            yield replacement


def _read_stored_hold(target: Target) -> Hold:
    for record in target.ledger_records.get([HOLD_KEY]):
        try:
            return _parse_hold(record, target.ledger_name)
        except DamagedRecord as error:
            raise DamagedRecord(
                f"{error}; `nudge-sync hold` replaces it, and `nudge-sync release` then ends it"
            ) from None
    return Hold()


def _parse_hold(record: Record, collection_name: str) -> Hold:
    checksum.verify_checksums([record], collection_name)
    hold = schema.parse_content(Hold, record.document.get("hold"), record, collection_name)
    if record.document.get("generation") != hold.generation:
        raise schema.build_record_error(record, collection_name, "two generations")
    return hold


def _swap_hold(target: Target, hold: Hold, expected_generation: int | None) -> bool:
    return target.ledger_records.swap(_build_record(hold), expected_generation)


def _build_record(hold: Hold) -> Record:
    document = {"kind": "hold", "generation": hold.generation, "hold": asdict(hold)}
    return checksum.add_checksum(HOLD_KEY, document)
