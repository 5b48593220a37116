"""What is held on somebody: given out, or removed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nudge_sync.connector import Record, Records, Scalar, Where
from nudge_sync.errors import InputError
from nudge_sync.feedback.log.external import Feedback
from nudge_sync.feedback.schema.records import DIGEST
from nudge_sync.feedback.schema.rows import BadRow, seconds
from nudge_sync.store import erasure
from nudge_sync.store.target import Target

_BATCH = 1000
_DATED = 1.0
"""Seconds since 1970; who does not know a moment says 0."""


@dataclass(frozen=True, slots=True)
class Whom:
    """One client, one session, one query, or everybody before a day."""

    client: str = ""
    session: str = ""
    query: str = ""
    before: str = ""
    """ISO 8601, in UTC where it names no zone; what is undated is not meant."""

    def where(self) -> Where:
        """The filter. Raises InputError unless exactly one of the four is named."""
        named = {
            "client_id": self.client,
            "session_id": self.session,
            "query_id": self.query,
        }
        found: dict[str, Scalar | tuple[float, float]] = {
            field: value for field, value in named.items() if value
        }
        if self.before:
            found["timestamp"] = (_DATED, max(_moment(self.before), _DATED))
        if len(found) != 1:
            raise InputError("name one client, one session, one query, or a day (--before)")
        return found

    def asked(self, feedback: Feedback) -> set[str]:
        """The query ids of their searches, wherever those are kept; events on them are theirs too.

        None of a query, whose events name it themselves, nor of a time: of that only what is of
        that time itself.
        """
        return feedback.asked(self.where()) if self.client or self.session else set()


def _moment(day: str) -> float:
    try:
        return seconds(day)
    except BadRow as bad:
        raise InputError(f"--before {day!r} is no day such as 2026-05-01: {bad.detail}") from None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many records are gone."""

    searches: int
    events: int

    def summary(self) -> dict[str, Any]:
        """The fields that `--json` prints."""
        return asdict(self)


def held(
    queries: Records, events: Records, whom: Whom, asked: Collection[str] = ()
) -> Iterator[list[Record]]:
    """Every search and event of somebody, and every event on one of those searches; of a time only
    what is of that time itself.

    asked: query ids of theirs, also of searches that are kept elsewhere: see `Whom.asked`.
    Searches come first; no event comes twice.
    """
    where = whom.where()
    theirs: set[str] = set()
    for batch in queries.scan(where):
        theirs.update(record.key for record in batch)
        yield batch
    for keys in _batches(sorted(set(asked) - theirs)):
        if others := queries.get(keys):
            yield others
    own: set[str] = set()
    for batch in events.scan(where, vectors=False):
        own.update(record.key for record in batch)
        yield batch
    if whom.query or whom.before:
        return
    for query in sorted(theirs.union(asked)):
        for batch in events.scan({"query_id": query}, vectors=False):
            if more := [record for record in batch if record.key not in own]:
                yield more


def forget(target: Target, whom: Whom, asked: Collection[str] = ()) -> Forgotten:
    """Remove all of it; the next cycle leaves the vectors as if it had never been.

    That it has to is noted before anything goes. Raises LeaseLost, DamagedRecord, DatabaseError.
    """

    def note() -> None:
        erasure.ask(target.ledger, target.place)

    return remove(target.queries, target.events, whom, asked, first=note)


def remove(
    queries: Records,
    events: Records,
    whom: Whom,
    asked: Collection[str] = (),
    *,
    first: Callable[[], None] | None = None,
) -> Forgotten:
    """Remove all of it, events first: what a crash leaves behind is found by the same call.

    first: called before anything goes, if there is anything.
    """
    searches, acts = _keys(held(queries, events, whom, asked))
    if first is not None and (searches or acts):
        first()
    _delete(events, acts)
    _delete(queries, searches)
    return Forgotten(len(searches), len(acts))


def exported(
    queries: Records, events: Records, whom: Whom, asked: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """All of it as rows that `feedback import` reads."""
    for batch in held(queries, events, whom, asked):
        for record in batch:
            is_search = "shown" in record.document
            row = {"type": "search" if is_search else "event", **record.document}
            if record.vector is not None:
                row["query_vector"] = record.vector.tolist()
            row.pop(DIGEST, None)
            yield row


def _keys(found: Iterator[list[Record]]) -> tuple[list[str], list[str]]:
    searches: list[str] = []
    acts: list[str] = []
    for batch in found:
        is_search = "shown" in batch[0].document
        (searches if is_search else acts).extend(record.key for record in batch)
    return searches, acts


def _delete(records: Records, keys: Sequence[str]) -> None:
    for batch in _batches(keys):
        records.delete(batch)


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _BATCH):
        yield keys[start : start + _BATCH]
