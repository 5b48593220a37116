"""Records that say when they were stored, which nobody but a filter sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from nudge_sync.connector import Record, Records, Where
from nudge_sync.store.ledger import now_ms

STORED_AT_FIELD = "stored_at"
"""Field of the document of a search or an event: milliseconds since 1970 by the writer's clock.
Whoever stored it without one was an older version, or not nudge-sync."""
SETTLING_MS = 3_600_000
"""How long records must have been stored before they count as settled: longer than clocks differ
and writes take."""
EARLIEST_STAMP = 1.0
"""The least `STORED_AT_FIELD` that a filter for stamped records names."""


class StampedRecords(Records):
    """Records whose documents get the time of each `put`, and are read without it.

    A filter may name `STORED_AT_FIELD`. `swap` is passed on as it is: it is not used for feedback.
    """

    def __init__(self, records: Records, clock: Callable[[], int] = now_ms) -> None:
        """Wrap `records`; clock: gives milliseconds since 1970."""
        self.wrapped = records
        self._clock = clock

    def put(self, records: Sequence[Record]) -> None:
        """Store the records with the present time; see `Records.put`."""
        now = self._clock()
        self.wrapped.put(
            [
                replace(record, document={**record.document, STORED_AT_FIELD: now})
                for record in records
            ]
        )

    def swap(self, record: Record, expected: int | None) -> bool:
        """See `Records.swap`."""
        return self.wrapped.swap(record, expected)

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """See `Records.get`."""
        return _strip(self.wrapped.get(keys, vectors=vectors))

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `Records.scan`."""
        for batch in self.wrapped.scan(where, vectors=vectors, batch_size=batch_size):
            yield _strip(batch)

    def delete(self, keys: Sequence[str]) -> None:
        """See `Records.delete`."""
        self.wrapped.delete(keys)

    def count(self, where: Where | None = None) -> int:
        """See `Records.count`."""
        return self.wrapped.count(where)

    def drop(self) -> None:
        """See `Records.drop`."""
        self.wrapped.drop()


def _strip(records: list[Record]) -> list[Record]:
    for record in records:
        # In place: a connector makes each document anew for whoever reads it.
        if isinstance(record.document, dict):
            record.document.pop(STORED_AT_FIELD, None)
    return records
