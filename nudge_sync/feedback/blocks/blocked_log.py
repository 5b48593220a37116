"""Reading the log by blocks where they hold, and by records elsewhere; and making new blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from nudge_sync.base.in_flight import iterate_ahead
from nudge_sync.connector import Record, Records, Where
from nudge_sync.errors import DamagedRecord, Unauthorised
from nudge_sync.feedback.blocks.codec import BLOCK_VERSION, decode_block, encode_block
from nudge_sync.feedback.blocks.columns import EventBlock, SearchBlock
from nudge_sync.feedback.blocks.counts import BlockCounts
from nudge_sync.feedback.blocks.days import Days, find_day
from nudge_sync.feedback.blocks.merge import merge_small_blocks
from nudge_sync.feedback.blocks.survey import Survey, TimeSpan
from nudge_sync.feedback.blocks.time_ranges import (
    EARLIEST_DATED,
    has_timeless_records,
    list_early_ranges,
    list_time_ranges,
)
from nudge_sync.feedback.schema.moments import END_OF_TIME
from nudge_sync.store.feedback.block_store import BlockDraft, BlockKind, BlockStore
from nudge_sync.store.feedback.stamped_records import SETTLING_MS
from nudge_sync.store.ledger import now_ms
from nudge_sync.store.schema import BlockHead

LogPart: TypeAlias = list[Record] | EventBlock | SearchBlock
_Block = TypeVar("_Block", EventBlock, SearchBlock)
MIN_RECORDS = 20_000
_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True)
class BlockRules:
    """What is kept as blocks."""

    length: int
    """Seconds that a block covers."""
    min_records: int
    """Logs with fewer searches, or events, have no blocks of them: they are read as fast."""
    min_block_records: int = 20
    """Days with fewer have no block."""
    span_records: int = 50_000
    """Days are made into blocks together while they have no more: requests cost more than records.
    """
    settling_ms: int = SETTLING_MS
    version: int = BLOCK_VERSION


def build_block_rules(block_days: float) -> BlockRules | None:
    """Return the rules for blocks of so many days; None for 0, which is to have none."""
    if not block_days:
        return None
    return BlockRules(max(1, round(block_days * _SECONDS_PER_DAY)), MIN_RECORDS)


@dataclass(slots=True)
class BlockedLog:
    """The searches and events of a collection, and their blocks.

    writes: whether blocks are made, made again and deleted; for whoever holds the lease.
    """

    queries: Records
    events: Records
    blocks: Records
    rules: BlockRules
    writes: bool = False
    clock: Callable[[], int] = now_ms
    counts: BlockCounts = field(default_factory=BlockCounts)
    _begun_at: int = 0
    _surveyed: set[BlockKind] = field(default_factory=set)
    _surveyed_at: int = 0
    _heads: list[BlockHead] | None = None
    """None where the blocks may not be read."""

    def begin(self) -> None:
        """Find out which blocks there are. To be called before anything is read."""
        self._begun_at = self.clock()
        self._surveyed.clear()
        self.counts = BlockCounts()
        try:
            self._heads = self._store.list_heads()
            self._surveyed_at = self._store.read_survey_time(self._heads)
        except Unauthorised:
            self._heads = None
        except DamagedRecord:
            self._heads, self._surveyed_at = [], 0
            if self.writes:
                self.blocks.drop()

    def read(self, kind: BlockKind, start: float) -> Iterator[LogPart]:
        """Yield all undated records, and those from `start` on, as blocks or batches of records.

        start: seconds since 1970; 0: everything, whatever it is.
        """
        records = self.events if kind == "events" else self.queries
        low = int(-(-max(start, EARLIEST_DATED) // self.rules.length)) * self.rules.length
        closed = (self._begun_at - self.rules.settling_ms) // 1000
        high = closed // self.rules.length * self.rules.length
        total = records.count() if low < high else 0
        if low >= high or total < self.rules.min_records:
            self._discard(self._list_heads(kind))
            yield from self._scan(records, list_time_ranges(start))
        elif self._heads is None:
            yield from self._scan(records, list_time_ranges(start))
            return
        else:
            survey = self._plan_survey(records)
            usable = [head for head in self._list_heads(kind) if self._is_usable(head, low, high)]
            are_confirmed = survey.confirm(usable, total)
            if not (start or are_confirmed) and has_timeless_records(records):
                yield from self._scan(records, list_time_ranges(start))
                return
            yield from self._scan(records, list_early_ranges(start, low))
            first, last = (usable[0].start, usable[-1].end) if usable else (high, high)
            survey.compare(low, first, ())
            if are_confirmed:
                survey.valid.extend(usable)
            else:
                survey.compare(first, last, usable)
            survey.compare(last, high, ())
            yield from self._read_closed(kind, survey)
            yield from self._scan(records, [{"timestamp": (float(high), END_OF_TIME)}])
        self._surveyed.add(kind)

    def finish(self) -> None:
        """Tidy up, and store that all blocks hold, where both kinds were read to their end."""
        if self.writes and self._heads is not None and self._surveyed == {"events", "searches"}:
            with self._while_allowed():
                self._store.sweep(self._heads)
                if self._heads:
                    self._store.write_survey_time(self._heads, self._begun_at)

    @property
    def _store(self) -> BlockStore:
        return BlockStore(self.blocks)

    def _plan_survey(self, records: Records) -> Survey:
        return Survey(
            records,
            self.rules.length,
            self.rules.settling_ms,
            self._surveyed_at,
            span_records=self.rules.span_records if self.writes else None,
        )

    def _read_closed(self, kind: BlockKind, survey: Survey) -> Iterator[LogPart]:
        heads = self._list_heads(kind)
        unchanged = {head.start for head in survey.valid}
        self._discard([head for head in heads if head.start not in unchanged])
        known = {head.start for head in heads}
        if kind == "events":
            yield from iterate_ahead(merge_small_blocks(self._read_blocks(EventBlock, survey)))
        else:
            yield from iterate_ahead(merge_small_blocks(self._read_blocks(SearchBlock, survey)))
        for span in survey.spans:
            yield from self._read_span(kind, survey, span, known)

    def _read_blocks(self, kind: type[_Block], survey: Survey) -> Iterator[_Block]:
        """Yield the blocks that hold; add the times of those that are damaged to the spans."""
        damaged = []
        for head, data in self._store.read_all(survey.valid):
            block = self._decode(kind, head, data)
            if block is None:
                damaged.append(head)
            else:
                yield block
        self.counts.damaged += len(damaged)
        self._discard(damaged)
        survey.spans.extend(TimeSpan(head.start, head.end, head.count) for head in damaged)

    def _list_heads(self, kind: BlockKind) -> list[BlockHead]:
        return [head for head in self._heads or () if head.kind == kind]

    def _is_usable(self, head: BlockHead, low: int, high: int) -> bool:
        return (
            head.version == self.rules.version
            and head.end - head.start == self.rules.length
            and head.start % self.rules.length == 0
            and low <= head.start
            and head.end <= high
        )

    def _decode(self, kind: type[_Block], head: BlockHead, data: bytes | None) -> _Block | None:
        if data is None:
            return None
        try:
            block = decode_block(kind, data)
        except ValueError:
            return None
        if len(block) != head.count:
            return None
        self.counts.reused += 1
        self.counts.records_in_blocks += len(block)
        return block

    def _read_span(
        self, kind: BlockKind, survey: Survey, span: TimeSpan, known: AbstractSet[int]
    ) -> Iterator[LogPart]:
        """Yield the records of a time, as new blocks of those days that may have one."""
        if not self.writes or span.count < self.rules.min_block_records:
            yield from self._scan(survey.records, [span.to_filter()])
            return
        read_at = self.clock()
        settled = survey.count_settled(span, read_at - self.rules.settling_ms)
        if settled == span.count:
            days = Days(kind, self.rules.length, self.rules.min_block_records)
            for batch in self._scan(survey.records, [span.to_filter()]):
                days.add(batch)
            if days.count == span.count:
                yield from self._make_blocks(survey, span, days, read_at, known)
                return
        # Days in which all are settled are told from others by halves.
        halves = survey.halve(span) if settled else []
        for half in halves:
            yield from self._read_span(kind, survey, half, known)
        if not halves:
            yield from self._read_unsettled(survey, span)

    def _read_unsettled(self, survey: Survey, span: TimeSpan) -> Iterator[LogPart]:
        """Yield the records of days that can have no block now, and count these days."""
        counts: Counter[int] = Counter()
        for batch in self._scan(survey.records, [span.to_filter()]):
            counts.update(find_day(record, self.rules.length) for record in batch)
            yield batch
        self.counts.unsettled += sum(
            count >= self.rules.min_block_records for count in counts.values()
        )

    def _make_blocks(
        self,
        survey: Survey,
        span: TimeSpan,
        days: Days,
        read_at: int,
        known: AbstractSet[int],
    ) -> Iterator[LogPart]:
        """Store the blocks of a span's days, and yield them, and the records of other days.

        read_at: when it was begun to read the days, in milliseconds since 1970.
        """
        blocks: dict[int, EventBlock | SearchBlock] = {}
        drafts = []
        for start, day in days.by_start.items():
            block = day.build() if day.count >= self.rules.min_block_records else None
            if block is not None:
                end, version = start + self.rules.length, self.rules.version
                draft = BlockDraft(days.kind, start, end, version, day.count, read_at=read_at)
                drafts.append((draft, encode_block(block)))
                blocks[start] = block
        for start in self._store_blocks(survey, span, drafts, known):
            del blocks[start]
        for start, day in days.by_start.items():
            if start in blocks:
                yield blocks[start]
            elif day.count < self.rules.min_block_records:
                yield day.first_records
            else:
                self.counts.unsettled += 1
                day_span = TimeSpan(start, start + self.rules.length, day.count)
                yield from self._scan(survey.records, [day_span.to_filter()])

    def _store_blocks(
        self,
        survey: Survey,
        span: TimeSpan,
        drafts: list[tuple[BlockDraft, bytes]],
        known: AbstractSet[int],
    ) -> list[int]:
        """Store the blocks of some days of a span; return the starts of those that do not hold."""
        with self._while_allowed():
            heads = self._store.write_all(drafts)
            # Whoever erases records deletes their blocks once before and once afterwards: either
            # these blocks were there by then, or what they hold is gone by now.
            changed: list[BlockHead] = []
            if heads and not survey.holds(span, heads[0].read_at):
                changed = [
                    head
                    for head in heads
                    if not survey.holds(TimeSpan(head.start, head.end, head.count), head.read_at)
                ]
                self._store.delete_all(changed)
            gone = [head.start for head in changed]
            kept = [head for head in heads if head.start not in gone]
            self._heads = [*(self._heads or ()), *kept]
            remade = sum(head.start in known for head in kept)
            self.counts.remade += remade
            self.counts.made += len(kept) - remade
            return gone
        return []

    def _discard(self, heads: list[BlockHead]) -> None:
        """Delete blocks that do not hold, or are too old to be read."""
        if not self.writes or not heads:
            return
        with self._while_allowed():
            self._store.delete_all(heads)
        seals = {head.seal for head in heads}
        self._heads = [head for head in self._heads or () if head.seal not in seals]

    @contextmanager
    def _while_allowed(self) -> Iterator[None]:
        """Stop to write blocks where that is not allowed: a cycle needs none."""
        try:
            yield
        except Unauthorised:
            self.writes = False

    def _scan(self, records: Records, conditions: list[Where]) -> Iterator[list[Record]]:
        for where in conditions:
            for batch in records.scan(where or None, vectors=False):
                self.counts.records_read += len(batch)
                yield batch
