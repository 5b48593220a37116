"""What is held on somebody: given out, or removed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nudge_sync.connector import Record, Records, Scalar, Where
from nudge_sync.errors import InputError
from nudge_sync.feedback.log.external import FeedbackRecords
from nudge_sync.feedback.schema.records import VECTOR_DIGEST_FIELD
from nudge_sync.feedback.schema.rows import BadRow, parse_timestamp
from nudge_sync.store import erasure
from nudge_sync.store.target import Target

_BATCH_SIZE = 1000
_EARLIEST_TIMESTAMP = 1.0
"""Seconds since 1970; who does not know a moment says 0."""


@dataclass(frozen=True, slots=True)
class FeedbackSelector:
    """One client, one session, one query, or everybody before a day."""

    client: str = ""
    session: str = ""
    query: str = ""
    before: str = ""
    """ISO 8601, in UTC where it names no zone; what is undated is not meant."""

    def to_filter(self) -> Where:
        """The filter. Raises InputError unless exactly one of the four is named."""
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
        """The query ids of their searches, wherever those are kept; events on them are theirs too.

        None of a query, whose events name it themselves, nor of a time: of that only what is of
        that time itself.
        """
        return feedback.find_query_ids(self.to_filter()) if self.client or self.session else set()


def _parse_day(day: str) -> float:
    try:
        return parse_timestamp(day)
    except BadRow as error:
        raise InputError(f"--before {day!r} is no day such as 2026-05-01: {error.detail}") from None


@dataclass(frozen=True, slots=True)
class ErasedCounts:
    """How many records are gone."""

    searches: int
    events: int

    def summary(self) -> dict[str, Any]:
        """The fields that `--json` prints."""
        return asdict(self)


def scan_feedback(
    queries: Records, events: Records, selector: FeedbackSelector, query_ids: Collection[str] = ()
) -> Iterator[list[Record]]:
    """Every search and event of somebody, and every event on one of those searches; of a time only
    what is of that time itself.

    asked: query ids of theirs, also of searches that are kept elsewhere: see `Whom.asked`.
    Searches come first; no event comes twice.
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
    """Remove all of it; the next cycle leaves the vectors as if it had never been.

    That it has to is noted before anything goes. Raises LeaseLost, DamagedRecord, DatabaseError.
    """

    def request_erasure() -> None:
        erasure.request_erasure(target)

    return delete_feedback(
        target.queries, target.events, selector, query_ids, before_delete=request_erasure
    )


def delete_feedback(
    queries: Records,
    events: Records,
    selector: FeedbackSelector,
    query_ids: Collection[str] = (),
    *,
    before_delete: Callable[[], None] | None = None,
) -> ErasedCounts:
    """Remove all of it, events first: what a crash leaves behind is found by the same call.

    first: called before anything goes, if there is anything.
    """
    search_keys, event_keys = _collect_keys(scan_feedback(queries, events, selector, query_ids))
    if before_delete is not None and (search_keys or event_keys):
        before_delete()
    _delete_in_batches(events, event_keys)
    _delete_in_batches(queries, search_keys)
    return ErasedCounts(len(search_keys), len(event_keys))


def export_rows(
    queries: Records, events: Records, selector: FeedbackSelector, query_ids: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """All of it as rows that `feedback import` reads."""
    for batch in scan_feedback(queries, events, selector, query_ids):
        for record in batch:
            is_search = "shown" in record.document
            row = {"type": "search" if is_search else "event", **record.document}
            if record.vector is not None:
                row["query_vector"] = record.vector.tolist()
            row.pop(VECTOR_DIGEST_FIELD, None)
            yield row


def _collect_keys(batches: Iterator[list[Record]]) -> tuple[list[str], list[str]]:
    search_keys: list[str] = []
    event_keys: list[str] = []
    for batch in batches:
        is_search = "shown" in batch[0].document
        (search_keys if is_search else event_keys).extend(record.key for record in batch)
    return search_keys, event_keys


def _delete_in_batches(records: Records, keys: Sequence[str]) -> None:
    for batch in _split_keys(keys):
        records.delete(batch)


def _split_keys(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _BATCH_SIZE):
        yield keys[start : start + _BATCH_SIZE]
