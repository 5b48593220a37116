"""A log read by blocks is the log of all records, bit for bit, whatever happened to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_sync.connector import Record
from nudge_sync.errors import Unauthorised
from nudge_sync.feedback.blocks.block_store import BlockStore, drop_blocks
from nudge_sync.feedback.blocks.blocked_log import (
    MIN_RECORDS,
    BlockedLog,
    BlockRules,
    build_block_rules,
)
from nudge_sync.feedback.erase import FeedbackSelector, delete_feedback
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import DEFAULT_ACTIONS, FeedbackSettings
from nudge_sync.store import checksum
from nudge_sync.store.embedding_space import EmbeddingSpace
from nudge_sync.store.ledger import now_ms
from nudge_sync.store.stamped_records import StampedRecords
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.feedback_store import list_columns

DIMENSION, DAY, HOUR_MS = 4, 86_400, 3_600_000
TODAY = now_ms() // 1000 // DAY * DAY
FIRST_DAY = TODAY - 12 * DAY
VECTORS = np.random.default_rng(0).normal(size=(6, DIMENSION)).astype(np.float32)
RULES = BlockRules(DAY, min_records=0, min_block_records=0)


@dataclass
class World:
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

    def read(self, *, writes: bool = False, space: EmbeddingSpace | None = None, **how: Any) -> Any:
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
        texts = []
        for head in BlockStore(self.blocks).list_heads():
            block = self.open(writes=False)._read_block(head)
            texts.append(repr(block))
        return " ".join(texts)


@pytest.fixture
def world() -> World:
    made = World()
    made.fill()
    return made


def test_closed_days_are_read_once(world):
    first = world.read(writes=True)
    assert (first.made, first.reused, first.unsettled) == (10, 0, 0)
    second = world.read(writes=True)
    assert (second.made, second.reused) == (0, 10)
    assert (second.records_read, second.records_in_blocks) == (0, 80)
    assert world.read().reused == 10


def test_reading_alone_stores_nothing(world):
    world.read()
    assert world.blocks.count() == 0


def test_a_late_event_has_its_day_made_again_once_it_has_settled(world):
    world.read(writes=True)
    world.click(99, FIRST_DAY + DAY + 5.0)
    counts = world.read(writes=True)
    assert (counts.reused, counts.unsettled, counts.records_read) == (9, 1, 9)
    world.now += 2 * HOUR_MS
    assert world.read(writes=True).made == 1
    assert world.read(writes=True).records_read == 0


def test_a_search_that_was_replaced_has_its_day_made_again(world):
    world.read(writes=True)
    world.now += 5 * HOUR_MS
    world.skew = -HOUR_MS + 1
    world.search(3, FIRST_DAY + 7.0, session_id="corrected")
    assert world.read(writes=True).reused == 9
    world.now += 2 * HOUR_MS
    counts = world.read(writes=True)
    assert (counts.reused, counts.made) == (9, 1)


def test_one_that_left_and_one_that_came_elsewhere_are_both_noticed(world):
    world.read(writes=True)
    (record,) = world.queries.get(["q9"])
    moved = {**record.document, "timestamp": FIRST_DAY + 5.0}
    world.queries.put([replace(record, document=moved)])
    assert world.read(writes=True).reused == 8


def test_a_day_with_a_record_of_an_older_version_is_read_from_its_records(world):
    world.read(writes=True)
    (record,) = world.queries.get(["q9"])
    world.raw_queries.put([record])
    for _ in range(2):
        counts = world.read(writes=True)
        assert (counts.reused, counts.unsettled) == (9, 1)


@pytest.mark.parametrize("damage", ["part", "head", "nonsense", "gone", "all"])
def test_a_damaged_block_is_made_again_and_never_trusted(world, damage):
    world.read(writes=True)
    (head, *_) = BlockStore(world.blocks).list_heads()
    (part, *_) = [
        key
        for key in world.database.store.records["docs__nudge_blocks"]
        if key.startswith(f"{head.expected_key}:")
    ]
    (record,) = world.blocks.get([part])
    if damage == "part":
        world.blocks.put([replace(record, document={**record.document, "data": "AAAA"})])
    elif damage == "head":
        (record,) = world.blocks.get([head.expected_key])
        world.blocks.put([replace(record, document={**record.document, "count": 7})])
    elif damage == "nonsense":
        world.blocks.put([Record(part, {"data": 7})])
    elif damage == "gone":
        world.blocks.delete([part])
    else:
        world.blocks.drop()
    lost = 10 if damage == "all" else 1
    assert world.read().records_read == 8 * lost
    counts = world.read(writes=True)
    assert counts.reused == 10 - lost
    assert counts.made + counts.remade == lost
    assert world.read(writes=True).records_read == 0


def test_blocks_of_another_version_or_length_are_made_again(world):
    world.read(writes=True)
    world.rules = replace(RULES, version=RULES.version + 1)
    assert world.read(writes=True).remade == 10
    world.rules = replace(world.rules, length=DAY // 2)
    assert world.read().reused == 0
    assert world.read(writes=True).reused == 0
    assert {head.end - head.start for head in BlockStore(world.blocks).list_heads()} == {DAY // 2}


def test_settings_change_no_block(world):
    world.read(writes=True)
    actions = {**DEFAULT_ACTIONS, "click": 0.3, "scroll": 2.0}
    del actions["relevant"]
    assert world.read(writes=True, actions=actions).reused == 10
    space = EmbeddingSpace(number=2, since=(FIRST_DAY + 2 * DAY) * 1000 + 150_000)
    assert world.read(writes=True, space=space).reused == 10


def test_blocks_go_with_the_history_that_is_read(world):
    world.read(writes=True)
    counts = world.read(writes=True, history_days=(TODAY - FIRST_DAY) / DAY - 2)
    assert counts.reused == 6
    starts = {head.start for head in BlockStore(world.blocks).list_heads()}
    assert starts == {FIRST_DAY + day * DAY for day in (2, 3, 4)}


def test_nothing_of_a_client_is_left_in_blocks_that_was_forgotten(world):
    for number in range(3):
        world.click(500 + number, FIRST_DAY + 2 * DAY + 9.5, client_id="gone", session_id="secret")
    world.now += 2 * HOUR_MS
    world.read(writes=True)
    assert "secret" in world.list_texts()
    world.forget("gone")
    assert "secret" not in world.list_texts()
    assert world.read().reused == 8
    world.read(writes=True)
    assert world.read(writes=True).records_read == 0


def test_a_block_made_while_its_records_are_erased_does_not_stay(world, monkeypatch):
    world.click(500, FIRST_DAY + 9.5, client_id="gone", session_id="secret")
    world.now += 2 * HOUR_MS
    write = BlockStore.write

    def write_after_erasure(store, draft, data):
        if draft.start == FIRST_DAY and draft.kind == "events":
            world.forget("gone")
        return write(store, draft, data)

    monkeypatch.setattr(BlockStore, "write", write_after_erasure)
    blocked = world.open(writes=True)
    load_log(world.queries, world.events, FeedbackSettings(), DIMENSION, blocks=blocked)
    assert "secret" not in world.list_texts()
    assert world.read(writes=True).unsettled == 0


class Killed(Exception):
    pass


@pytest.mark.parametrize("calls", range(8))
def test_whoever_is_killed_between_two_writes_leaves_the_old_block_or_the_new(
    world, monkeypatch, calls
):
    world.read(writes=True)
    world.click(99, FIRST_DAY + DAY + 5.0)
    world.now += 2 * HOUR_MS
    left = iter(range(calls))
    for name in ("put", "delete"):
        original = getattr(type(world.blocks), name)

        def fail(records, items, original=original):
            if records is world.blocks and next(left, None) is None:
                raise Killed
            original(records, items)

        monkeypatch.setattr(type(world.blocks), name, fail)
    try:
        world.read(writes=True)
    except Killed:
        monkeypatch.undo()
    monkeypatch.undo()
    world.read()
    world.read(writes=True)
    assert world.read(writes=True).records_read == 0
    heads = BlockStore(world.blocks).list_heads()
    assert world.blocks.count() == 2 * len(heads) + 1


def test_a_record_that_no_range_of_times_finds_is_read_all_the_same(world):
    world.read(writes=True)
    world.events.put([Record("odd", {"query_id": "q1", "action_name": "click", "object_id": 1})])
    assert world.read(writes=True).reused == 5


def test_searches_that_only_records_can_tell_of_get_no_block(world):
    world.queries.put(
        [
            Record(
                "odd",
                {"query_id": "odd", "timestamp": FIRST_DAY + 3.0, "shown": [True]},
                VECTORS[0],
            )
        ]
    )
    world.now += 2 * HOUR_MS
    counts = world.read(writes=True)
    assert (counts.made, counts.unsettled) == (9, 1)


def test_a_small_log_has_no_blocks(world):
    world.rules = replace(RULES, min_records=41)
    world.read(writes=True)
    assert world.blocks.count() == 0
    world.rules = replace(RULES, min_records=40)
    assert world.read(writes=True).made == 10
    world.rules = replace(RULES, min_records=41)
    world.read(writes=True)
    assert world.blocks.count() == 0


def test_days_with_few_records_have_no_block_and_are_read_together(world):
    world.now -= 2 * HOUR_MS
    for number in range(1200):
        world.click(1000 + number, FIRST_DAY + DAY + 1.0 * number)
    world.now += 2 * HOUR_MS
    world.rules = replace(RULES, min_block_records=20)
    scans = []
    scan = world.events.scan

    def list_scans(where=None, **how):
        scans.append(where)
        return scan(where, **how)

    world.events.scan = list_scans
    assert (counts := world.read(writes=True)).made == 1
    assert (counts.unsettled, counts.records_read) == (0, 1208 + 32 + 40)
    assert len(scans) < 12
    assert world.read(writes=True).records_in_blocks == 1208


def test_whoever_may_not_read_blocks_reads_the_records(world, monkeypatch):
    def refuse(*_: Any, **__: Any) -> Any:
        raise Unauthorised

    world.read(writes=True)
    monkeypatch.setattr(BlockStore, "list_heads", refuse)
    assert world.read().records_read == 80


def test_no_days_is_no_blocks():
    assert build_block_rules(0) is None
    assert build_block_rules(0.5) == BlockRules(DAY // 2, MIN_RECORDS)


TIMES = st.one_of(
    st.floats(FIRST_DAY, FIRST_DAY + 8 * DAY), st.integers(FIRST_DAY, TODAY + DAY), st.just(0.0)
)
NUMBERS = st.integers(0, 11)
STEPS = st.one_of(
    st.tuples(st.just("search"), NUMBERS, TIMES),
    st.tuples(st.just("click"), NUMBERS, TIMES),
    st.tuples(st.just("unstamped"), NUMBERS, TIMES),
    st.tuples(st.just("erase"), NUMBERS, st.just(0)),
    st.tuples(st.just("forget"), NUMBERS, st.just(0)),
    st.tuples(st.just("damage"), NUMBERS, st.just(0)),
    st.tuples(st.just("wait"), NUMBERS, st.sampled_from([1, 2, 26])),
    st.tuples(st.just("cycle"), NUMBERS, st.sampled_from([None, 5.0, 9.3])),
    st.tuples(st.just("cycle"), NUMBERS, st.sampled_from([None, 5.0, 9.3])),
    st.tuples(st.just("plan"), NUMBERS, st.sampled_from([None, 5.0, 9.3])),
    st.tuples(st.just("version"), NUMBERS, st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_any_history_of_a_log_gives_the_same_bits(steps):
    world = World()
    for name, number, what in steps:
        world.skew = (number - 6) * HOUR_MS // 7
        match name:
            case "search" | "click":
                getattr(world, name)(number, what)
            case "unstamped":
                document = {"timestamp": what, "shown": [number], "session_id": "old"}
                world.raw_queries.put([Record(f"q{number}", document, VECTORS[0])])
            case "erase":
                keys = [record.key for batch in world.events.scan() for record in batch]
                world.events.delete(keys[number : number + 1])
                world.queries.delete([f"q{number}"])
            case "forget":
                world.forget(f"c{number % 3}")
            case "damage":
                keys = list(world.database.store.records.get("docs__nudge_blocks", ()))
                world.blocks.put([Record(key, {"part": "head"}) for key in keys[number::7]])
            case "wait":
                world.now += what * HOUR_MS
            case "version":
                world.rules = replace(world.rules, version=number % 2)
            case _:
                world.read(writes=name == "cycle", history_days=what)
    world.read(writes=True)
    world.read()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 100),
    st.dictionaries(
        st.sampled_from(
            ["part", "kind", "start", "end", "count", "data", "digest", "seal", "size", "at"]
        ),
        st.sampled_from([None, 0, -1, 2**70, 1.5, "", "head", "survey", "AAAA", [], {}, True]),
        min_size=1,
    ),
    st.booleans(),
)
def test_no_record_beside_the_log_changes_what_it_says(at, changes, sealed):
    world = World()
    world.fill(days=2, per_day=3)
    world.read(writes=True)
    keys = sorted(world.database.store.records["docs__nudge_blocks"])
    (record,) = world.blocks.get([keys[at % len(keys)]])
    document = {**record.document, **changes}
    if sealed:
        document.pop("seal", None)
        (record,) = [checksum.add_checksum(record.key, document)]
        document = record.document
    world.blocks.put([Record(record.key, document)])
    world.read()
    world.read(writes=True)
    assert world.read(writes=True).records_read == 0


@pytest.mark.parametrize("stored_at", [None, "x", True, -1, 0, 1e300, [], 2**63, "1"])
def test_a_time_of_storing_that_is_none_keeps_its_day_from_having_a_block(world, stored_at):
    (record,) = world.raw_events.get(
        [next(iter(world.database.store.records["docs__nudge_events"]))]
    )
    world.raw_events.put([replace(record, document={**record.document, "stored_at": stored_at})])
    for _ in range(2):
        assert world.read(writes=True).unsettled == 1
