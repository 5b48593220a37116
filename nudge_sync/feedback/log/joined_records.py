"""The sidecar's own records and the application's log as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nudge_sync.connector import Record, Records, Where
from nudge_sync.feedback.log.columnar.events import TableEvents
from nudge_sync.feedback.log.columnar.searches import TableSearches
from nudge_sync.feedback.log.external_log import ExternalEvents, ExternalLog, ExternalSearches

_BATCH_SIZE = 1000


class JoinedRecords:
    """The sidecar's own records and, after them, the log's; writes go to the sidecar's alone."""

    def __init__(self, own: Records, log: ExternalLog) -> None:
        self.own = own
        self.log = log

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = _BATCH_SIZE
    ) -> Iterator[list[Record]]:
        """Yield the matching records of both in batches, each key once."""
        yield from self.own.scan(where, vectors=vectors, batch_size=batch_size)
        yield from self.log.scan_missing(self.own, where, vectors=vectors)

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """Return the records with these keys, in their order, without those that neither holds."""
        record_by_key = {record.key: record for record in self.own.get(keys, vectors=vectors)}
        missing = set(keys) - record_by_key.keys()
        for batch in self.log.find_queries(missing, vectors=vectors) if missing else ():
            record_by_key |= {record.key: record for record in batch if record.key in missing}
            if missing <= record_by_key.keys():
                break
        return [record_by_key[key] for key in keys if key in record_by_key]

    def count(self, where: Where | None = None) -> int:
        """Return how many records of both match."""
        if where is None and (count := self.log.count_missing(self.own)) is not None:
            return self.own.count() + count
        others = self.log.scan_missing(self.own, where, vectors=False)
        return self.own.count(where) + sum(map(len, others))

    def put(self, records: Sequence[Record]) -> None:
        """Write to the sidecar's own records."""
        self.own.put(records)

    def swap(self, record: Record, expected: int | None) -> bool:
        """Compare and set one of the sidecar's own records."""
        return self.own.swap(record, expected)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete from the sidecar's own records."""
        self.own.delete(keys)

    def drop(self) -> None:
        """Drop the sidecar's own records."""
        self.own.drop()


def split_searches(queries: Records) -> tuple[Records, TableSearches | None]:
    """Return the records to read one by one, and the log to read column by column, if it is a
    table.
    """
    if isinstance(queries, JoinedRecords) and isinstance(queries.log, ExternalSearches):
        table = queries.log.table
        return (queries, None) if table is None else (queries.own, table)
    return queries, None


def split_events(events: Records) -> tuple[Records, TableEvents | None]:
    """Return the records to read one by one, and the log to read column by column, if it is a
    table.
    """
    if isinstance(events, JoinedRecords) and isinstance(events.log, ExternalEvents):
        table = events.log.table
        return (events, None) if table is None else (events.own, table)
    return events, None
