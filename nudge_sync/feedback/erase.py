"""The feedback that is held on somebody, or dates from before a day: printed, or erased."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from nudge_sync.connector import Record, Records, Scalar, Where
from nudge_sync.errors import InputError
from nudge_sync.feedback.log.external import FeedbackRecords
from nudge_sync.feedback.schema.moments import parse_timestamp
from nudge_sync.feedback.schema.records import VECTOR_DIGEST_FIELD
from nudge_sync.feedback.schema.values import BadRow
from nudge_sync.store import erasure
from nudge_sync.store.feedback.block_store import drop_blocks
from nudge_sync.store.target import Target

_BATCH_SIZE = 1000
_EARLIEST_TIMESTAMP = 1.0
"""Seconds since 1970; a time below it means undated."""


@dataclass(frozen=True, slots=True)
class FeedbackSelector:
    """One client, one session, one query, or everything before a day."""

    client: str = ""
    session: str = ""
    query: str = ""
    before: str = ""
    """ISO 8601, in UTC where it names no zone. Undated records do not match."""

    def to_filter(self) -> Where:
        """Return the filter of records. Raises InputError unless exactly one of the four is set."""
        ids = {
            "client_id": self.client,
            "session_id": self.session,
            "query_id": self.query,
        }
        conditions: dict[str, Scalar | tuple[float, float]] = {
            field: value for field, value in ids.items() if value
        }
        if self.before:
            conditions["timestamp"] = (
                _EARLIEST_TIMESTAMP,
                max(_parse_day(self.before), _EARLIEST_TIMESTAMP),
            )
        if len(conditions) != 1:
            raise InputError("name one client, one session, one query, or a day (--before)")
        return conditions

    def find_query_ids(self, feedback: FeedbackRecords) -> set[str]:
        """Return the query ids of the client's or session's searches, in whichever log they are.

        Events on these searches belong to them too. Empty for a query, whose events name it
        themselves, and for a day, which selects events by their own time alone.
        """
        return feedback.find_query_ids(self.to_filter()) if self.client or self.session else set()


def _parse_day(day: str) -> float:
    try:
        return parse_timestamp(day)
    except BadRow as error:
        raise InputError(f"--before {day!r} is no day such as 2026-05-01: {error.detail}") from None


@dataclass(frozen=True, slots=True)
class ErasedCounts:
    """How many records were erased."""

    searches: int
    events: int

    def summary(self) -> dict[str, Any]:
        """Return the fields that `--json` prints."""
        return asdict(self)


def scan_feedback(
    queries: Records, events: Records, selector: FeedbackSelector, query_ids: Collection[str] = ()
) -> Iterator[list[Record]]:
    """Yield every search and event that the selector matches, and every event on those searches.

    query_ids: from `FeedbackSelector.find_query_ids`, which also knows searches that are kept in
    the application's log.  A day selects events by their own time alone.
    Searches come first; no record comes twice.
    """
    where = selector.to_filter()
    own_query_ids: set[str] = set()
    for batch in queries.scan(where):
        own_query_ids.update(record.key for record in batch)
        yield batch
    for keys in _split_keys(sorted(set(query_ids) - own_query_ids)):
        if listed_searches := queries.get(keys):
            yield listed_searches
    own_event_keys: set[str] = set()
    for batch in events.scan(where, vectors=False):
        own_event_keys.update(record.key for record in batch)
        yield batch
    if selector.query or selector.before:
        return
    for query_id in sorted(own_query_ids.union(query_ids)):
        for batch in events.scan({"query_id": query_id}, vectors=False):
            if other_events := [record for record in batch if record.key not in own_event_keys]:
                yield other_events


def erase_feedback(
    target: Target, selector: FeedbackSelector, query_ids: Collection[str] = ()
) -> ErasedCounts:
    """Erase what the selector matches, and have the next cycle take it out of the vectors.

    The request for that is stored before anything is erased, so that a crash in between loses
    nothing, and once more at the end, because a cycle may just be learning from it. Blocks that
    hold the same go first, and once more at the end, because a cycle may just be making them.
    Raises LeaseLost, DamagedRecord, DatabaseError.
    """
    erased_times: set[float] = set()

    def request_erasure(times: set[float]) -> None:
        erasure.request_erasure(target)
        drop_blocks(target.blocks, times)
        erased_times.update(times)

    counts = delete_feedback(
        target.queries, target.events, selector, query_ids, before_delete=request_erasure
    )
    drop_blocks(target.blocks, erased_times)
    if counts.searches or counts.events:
        # A cycle may have read them and answered the first request before they were gone.
        erasure.request_erasure(target)
    return counts


def delete_feedback(
    queries: Records,
    events: Records,
    selector: FeedbackSelector,
    query_ids: Collection[str] = (),
    *,
    before_delete: Callable[[set[float]], None] | None = None,
) -> ErasedCounts:
    """Erase what the selector matches, events first, so that the same call after a crash finds the
    rest.

    before_delete: called with the times of what will be erased, in seconds since 1970, before
    anything is, if there is anything to erase.
    """
    search_keys: list[str] = []
    event_keys: list[str] = []
    times: set[float] = set()
    for batch in scan_feedback(queries, events, selector, query_ids):
        is_search = "shown" in batch[0].document
        (search_keys if is_search else event_keys).extend(record.key for record in batch)
        times.update(_list_times(batch))
    if before_delete is not None and (search_keys or event_keys):
        before_delete(times)
    _delete_in_batches(events, event_keys)
    _delete_in_batches(queries, search_keys)
    return ErasedCounts(len(search_keys), len(event_keys))


def _list_times(records: Sequence[Record]) -> Iterator[float]:
    for record in records:
        time = record.document.get("timestamp")
        if isinstance(time, int | float) and isfinite(time):
            yield time


def export_rows(
    queries: Records, events: Records, selector: FeedbackSelector, query_ids: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield what the selector matches as rows that `feedback import` reads."""
    for batch in scan_feedback(queries, events, selector, query_ids):
        for record in batch:
            is_search = "shown" in record.document
            row = {"type": "search" if is_search else "event", **record.document}
            if record.vector is not None:
                row["query_vector"] = record.vector.tolist()
            row.pop(VECTOR_DIGEST_FIELD, None)
            yield row


def _delete_in_batches(records: Records, keys: Sequence[str]) -> None:
    for batch in _split_keys(keys):
        records.delete(batch)


def _split_keys(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _BATCH_SIZE):
        yield keys[start : start + _BATCH_SIZE]
