"""Which blocks still are what their records are, found by counting alone.

A block was made of records that had all been stored for a while. So it holds as long as its time
has the same number of records, and each of them was stored before the block was read: nobody can
replace one, or put another in place of one that is gone, without storing it now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nudge_sync.connector import Records, Where
from nudge_sync.feedback.schema.moments import END_OF_TIME
from nudge_sync.store.feedback.stamped_records import EARLIEST_STAMP, STORED_AT_FIELD
from nudge_sync.store.schema import BlockHead

_CONFIRMING_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A time whose records have to be read, with how many there are."""

    start: int
    """Seconds since 1970."""
    end: int
    count: int

    def to_filter(self) -> Where:
        """Return the filter of its records."""
        return {"timestamp": (float(self.start), float(self.end))}


@dataclass(slots=True)
class Survey:
    """Counts records of one kind until it is known which blocks hold."""

    records: Records
    length: int
    """Seconds of a block."""
    settling_ms: int
    """How far the clock of whoever stores a record may be behind."""
    surveyed_at: int
    """When all blocks were last found to hold, in milliseconds since 1970; 0: not known."""
    span_records: int | None
    """How many a span may have that is longer than a block; None: any number."""
    valid: list[BlockHead] = field(default_factory=list)
    spans: list[TimeSpan] = field(default_factory=list)

    def confirm(self, heads: Sequence[BlockHead], total: int) -> bool:
        """Return whether the blocks hold, and every record that they do not stand for has a time
        before or after theirs. False also where that cannot be told, for one as records come in.

        heads: in their order.  total: of the records, as just counted. Those of the blocks' time
        are counted once, by when they were stored; the rest follows from how many there are in all,
        and how many before and after that time.
        """
        if not heads:
            return False
        span = TimeSpan(heads[0].start, heads[-1].end, sum(head.count for head in heads))
        if not self._hold(span, heads):
            return False
        for _ in range(_CONFIRMING_ATTEMPTS):
            outside, counted_before = self._count_outside(span), total
            total = self.records.count()
            if total == counted_before:
                return total - span.count == outside
        return False

    def compare(self, start: int, end: int, heads: Sequence[BlockHead]) -> None:
        """Sort the time from `start` to `end` into `valid` and `spans`.

        start, end: seconds since 1970, multiples of `length`.  heads: of the blocks in that time,
        in its order. Times without a record are in neither.
        """
        if start >= end:
            return
        count = self.records.count(TimeSpan(start, end, 0).to_filter())
        if not count:
            return
        if self._hold(TimeSpan(start, end, count), heads):
            self.valid.extend(heads)
        elif end - start == self.length or not (heads or self._is_too_large(count)):
            self.spans.append(TimeSpan(start, end, count))
        else:
            middle = self._find_middle(start, end)
            self.compare(start, middle, [head for head in heads if head.start < middle])
            self.compare(middle, end, [head for head in heads if head.start >= middle])

    def halve(self, span: TimeSpan) -> list[TimeSpan]:
        """Return the halves of a span that have a record; none where it is one block long."""
        if span.end - span.start == self.length:
            return []
        middle = self._find_middle(span.start, span.end)
        halves = [TimeSpan(span.start, middle, 0), TimeSpan(middle, span.end, 0)]
        counted = [replace(half, count=self.records.count(half.to_filter())) for half in halves]
        return [half for half in counted if half.count]

    def holds(self, span: TimeSpan, read_at: int) -> bool:
        """Return whether a span has the records that it had when it was read, and no others.

        read_at: when it was begun to read them, in milliseconds since 1970.
        """
        is_unchanged = self.records.count(span.to_filter()) == span.count
        return is_unchanged and self.is_settled(span, read_at - self.settling_ms)

    def is_settled(self, span: TimeSpan, before_ms: int) -> bool:
        """Return whether just the span's count of records was stored before a time.

        before_ms: milliseconds since 1970.
        """
        return self.count_settled(span, before_ms) == span.count

    def count_settled(self, span: TimeSpan, before_ms: int) -> int:
        """Return how many of the span's records were stored before a time.

        before_ms: milliseconds since 1970.
        """
        where = {**span.to_filter(), STORED_AT_FIELD: (EARLIEST_STAMP, float(before_ms))}
        return self.records.count(where)

    def _count_outside(self, span: TimeSpan) -> int:
        before, after = (0.0, float(span.start)), (float(span.end), END_OF_TIME)
        return sum(self.records.count({"timestamp": time}) for time in (before, after))

    def _is_too_large(self, count: int) -> bool:
        return self.span_records is not None and count > self.span_records

    def _find_middle(self, start: int, end: int) -> int:
        return start + (end - start) // self.length // 2 * self.length

    def _hold(self, span: TimeSpan, heads: Sequence[BlockHead]) -> bool:
        """Return whether blocks that cover all of a span hold what its records hold."""
        # Beside a gap, what came into it could make up for what left a block.
        is_covered = sum(head.end - head.start for head in heads) == span.end - span.start
        if not is_covered or span.count != sum(head.count for head in heads):
            return False
        read_at = min(max(head.read_at, self.surveyed_at) for head in heads)
        return self.is_settled(span, read_at - self.settling_ms)
