"""A log with blocks of its days, and a clock that a test moves."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nudge_sync.feedback.blocks.blocked_log import BlockedLog, BlockRules
from nudge_sync.feedback.blocks.counts import BlockCounts
from nudge_sync.feedback.erase import FeedbackSelector, delete_feedback
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store.embedding_space import EmbeddingSpace
from nudge_sync.store.feedback.block_store import BlockStore, drop_blocks
from nudge_sync.store.feedback.stamped_records import StampedRecords
from nudge_sync.store.ledger import now_ms
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.feedback_store import list_columns

DIMENSION, DAY, HOUR_MS = 4, 86_400, 3_600_000
TODAY = now_ms() // 1000 // DAY * DAY
FIRST_DAY = TODAY - 12 * DAY
VECTORS = np.random.default_rng(0).normal(size=(6, DIMENSION)).astype(np.float32)
RULES = BlockRules(DAY, min_records=0, min_block_records=0)


@dataclass
class ClockedLog:
    """A log, its blocks, and a clock that whoever stores a record may run behind."""

    now: int = (TODAY - 6 * DAY) * 1000
    skew: int = 0
    rules: BlockRules = RULES
    database: MemoryDatabase = field(default_factory=MemoryDatabase)

    def __post_init__(self) -> None:
        self.raw_queries = self.database.records("docs__nudge_queries", DIMENSION)
        self.raw_events = self.database.records("docs__nudge_events")
        self.blocks = self.database.records("docs__nudge_blocks")
        self.queries = StampedRecords(self.raw_queries, lambda: self.now + self.skew)
        self.events = StampedRecords(self.raw_events, lambda: self.now + self.skew)

    def open(self, *, writes: bool) -> BlockedLog:
        return BlockedLog(
            self.queries, self.events, self.blocks, self.rules, writes, lambda: self.now
        )

    def read(
        self, *, writes: bool = False, space: EmbeddingSpace | None = None, **how: Any
    ) -> BlockCounts:
        """Read the log by blocks, assert that it is the log of all records, and return counts."""
        blocked = self.open(writes=writes)
        records = self.queries, self.events, FeedbackSettings(**how), DIMENSION
        log = load_log(*records, space=space, blocks=blocked)
        assert list_columns(log) == list_columns(load_log(*records, space=space))
        return blocked.counts

    def search(self, number: int, time: float, **fields: Any) -> None:
        search = Search(
            f"q{number}",
            VECTORS[number % len(VECTORS)],
            timestamp=time,
            shown=(number % 5, f"p{number % 3}"),
            session_id=f"s{number % 4}",
            client_id=f"c{number % 3}",
        )
        self.queries.put([to_search_record(replace(search, **fields))])

    def click(self, number: int, time: float, **fields: Any) -> None:
        event = Event(
            f"q{number}",
            ("click", "relevant", "scroll", "not_relevant")[number % 4],
            number % 5 if number % 2 else f"p{number % 3}",
            position=number % 3 or None,
            grade=(None, 0.0, -0.5, 2)[number % 4],
            timestamp=time,
            session_id=f"s{number % 4}",
            client_id=f"c{number % 3}",
        )
        self.events.put([to_event_record(replace(event, **fields))])

    def fill(self, days: int = 5, per_day: int = 8) -> None:
        """Store searches and clicks of some days, long enough ago."""
        now, self.now = self.now, self.now - 2 * HOUR_MS
        for day in range(days):
            for number in range(per_day):
                time = FIRST_DAY + day * DAY + 100.5 * number
                self.search(number + day * per_day, time)
                self.click(number + day * per_day, time + 1)
        self.now = now

    def forget(self, client: str) -> None:
        times: set[float] = set()

        def drop(erased: set[float]) -> None:
            times.update(erased)
            drop_blocks(self.blocks, erased)

        selector = FeedbackSelector(client=client)
        query_ids = {
            record.key for batch in self.queries.scan(selector.to_filter()) for record in batch
        }
        delete_feedback(self.queries, self.events, selector, query_ids, before_delete=drop)
        drop_blocks(self.blocks, times)

    def list_texts(self) -> str:
        """Return all that the blocks hold, decompressed."""
        store = BlockStore(self.blocks)
        blocks = store.read_all(store.list_heads())
        return " ".join(zlib.decompress(data or b"").decode("latin-1") for _, data in blocks)
