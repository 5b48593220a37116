"""Searches of a former embedding space: their vectors say nothing of the documents as they are."""

from __future__ import annotations

from nudge_sync.base.arrays import Float64, Int64
from nudge_sync.connector import Record
from nudge_sync.feedback.blocks.columns import SearchBlock
from nudge_sync.feedback.schema.records import SPACE_FIELD
from nudge_sync.store.embedding_space import EmbeddingSpace


class FormerSearches:
    """A filter for the searches of the present space; counts the others.

    A search is of the present space if it came after the last change of the model, or was embedded
    again since.
    """

    def __init__(self, space: EmbeddingSpace | None) -> None:
        self._space = space or EmbeddingSpace()
        self.count = 0

    def leave_out(self, batch: list[Record]) -> list[Record]:
        """Return the batch without the searches of former spaces."""
        if not self._space.since:
            return batch
        kept = [record for record in batch if not self._is_former(record)]
        self.count += len(batch) - len(kept)
        return kept

    def leave_out_of_block(self, block: SearchBlock) -> SearchBlock:
        """Return the block without the searches of former spaces."""
        if not self._space.since:
            return block
        is_former = block.find_former(self._space.number, self._space.since)
        self.count += int(is_former.sum())
        return block.select(~is_former)

    def leave_out_rows(self, rows: Int64, times: Float64) -> Int64:
        """Return the rows without the searches of former spaces, none of them embedded again.

        rows: (r,). times: of each row there is, (n,), in seconds since 1970.
        """
        if not self._space.since:
            return rows
        kept = rows[times[rows] * 1000 >= self._space.since]
        self.count += len(rows) - len(kept)
        return kept

    def _is_former(self, record: Record) -> bool:
        document = record.document
        if not isinstance(document, dict):
            return False
        number, timestamp = document.get(SPACE_FIELD), document.get("timestamp", 0.0)
        if isinstance(number, int) and number >= self._space.number:
            return False
        # A time that is none makes a record unreadable, which others count.
        return isinstance(timestamp, int | float) and timestamp * 1000 < self._space.since
