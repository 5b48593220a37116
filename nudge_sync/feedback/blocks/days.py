"""The records of several days, read at once and sorted into the blocks of these days."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from nudge_sync.connector import Record
from nudge_sync.feedback.blocks.columns import (
    EventBlock,
    EventBlockBuilder,
    SearchBlock,
    SearchBlockBuilder,
)
from nudge_sync.store.feedback.block_store import BlockKind


@dataclass(slots=True)
class Day:
    """The records of one block's time."""

    builder: EventBlockBuilder | SearchBlockBuilder
    count: int = 0
    first_records: list[Record] = field(default_factory=list)
    """All of them where they are fewer than make a block."""

    def build(self) -> EventBlock | SearchBlock | None:
        """Return the block; None where only the records can tell what they hold."""
        block = self.builder.build()
        return block if block is not None and len(block) == self.count else None


@dataclass(slots=True)
class Days:
    """Takes records as they come, and sorts them by day."""

    kind: BlockKind
    length: int
    """Seconds of a day: of what a block covers."""
    min_records: int
    """Days with fewer have no block."""
    by_start: dict[int, Day] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many records came."""
        return sum(day.count for day in self.by_start.values())

    def add(self, records: list[Record]) -> None:
        """Take a batch of records that have a time."""
        parts: defaultdict[int, list[Record]] = defaultdict(list)
        for record in records:
            parts[find_day(record, self.length)].append(record)
        for start, part in parts.items():
            day = self.by_start.get(start)
            if day is None:
                builder = EventBlockBuilder() if self.kind == "events" else SearchBlockBuilder()
                day = self.by_start[start] = Day(builder)
            day.builder.add(part)
            day.count += len(part)
            day.first_records += part[: self.min_records - len(day.first_records)]


def find_day(record: Record, length: int) -> int:
    """Return when the day of a record with a time begins, in seconds since 1970.

    length: seconds of a day.
    """
    time: Any = record.document["timestamp"]
    return int(time // length) * length
