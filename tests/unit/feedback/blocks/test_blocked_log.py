"""A log read by blocks is the log of all records, bit for bit, whatever happened to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_sync.connector import Record
from nudge_sync.errors import Unauthorised
from nudge_sync.feedback.blocks.blocked_log import MIN_RECORDS, BlockRules, build_block_rules
from nudge_sync.feedback.log.load import load_log
from nudge_sync.settings.feedback import DEFAULT_ACTIONS, FeedbackSettings
from nudge_sync.store.embedding_space import EmbeddingSpace
from nudge_sync.store.feedback.block_store import BlockStore
from tests.support.clocked_log import (
    DAY,
    DIMENSION,
    FIRST_DAY,
    HOUR_MS,
    RULES,
    TODAY,
    VECTORS,
    ClockedLog,
)


def test_closed_days_are_read_once(clocked):
    first = clocked.read(writes=True)
    assert (first.made, first.reused, first.unsettled) == (10, 0, 0)
    second = clocked.read(writes=True)
    assert (second.made, second.reused) == (0, 10)
    assert (second.records_read, second.records_in_blocks) == (0, 80)
    assert clocked.read().reused == 10


def test_closed_days_are_counted_once_where_nothing_changed_in_them(clocked):
    clocked.read(writes=True)
    clocked.click(99, TODAY + 1.0)
    counted = []
    count = clocked.events.count

    def list_counts(where=None):
        counted.append((where or {}).get("timestamp", (0.0, 0.0)))
        return count(where)

    clocked.events.count = list_counts
    blocked = clocked.open(writes=True)
    load_log(clocked.queries, clocked.events, FeedbackSettings(), DIMENSION, blocks=blocked)
    assert (blocked.counts.reused, blocked.counts.records_read) == (10, 1)
    assert [low <= FIRST_DAY + DAY < high for low, high in counted].count(True) == 1


def test_reading_alone_stores_nothing(clocked):
    clocked.read()
    assert clocked.blocks.count() == 0


def test_a_late_event_has_its_day_made_again_once_it_has_settled(clocked):
    clocked.read(writes=True)
    clocked.click(99, FIRST_DAY + DAY + 5.0)
    counts = clocked.read(writes=True)
    assert (counts.reused, counts.unsettled, counts.records_read) == (9, 1, 9)
    clocked.now += 2 * HOUR_MS
    assert clocked.read(writes=True).made == 1
    assert clocked.read(writes=True).records_read == 0


def test_a_search_that_was_replaced_has_its_day_made_again(clocked):
    clocked.read(writes=True)
    clocked.now += 5 * HOUR_MS
    clocked.skew = -HOUR_MS + 1
    clocked.search(3, FIRST_DAY + 7.0, session_id="corrected")
    assert clocked.read(writes=True).reused == 9
    clocked.now += 2 * HOUR_MS
    counts = clocked.read(writes=True)
    assert (counts.reused, counts.made) == (9, 1)


def test_one_that_left_and_one_that_came_elsewhere_are_both_noticed(clocked):
    clocked.read(writes=True)
    (record,) = clocked.queries.get(["q9"])
    moved = {**record.document, "timestamp": FIRST_DAY + 5.0}
    clocked.queries.put([replace(record, document=moved)])
    assert clocked.read(writes=True).reused == 8


def test_a_day_with_a_record_of_an_older_version_is_read_from_its_records(clocked):
    clocked.read(writes=True)
    (record,) = clocked.queries.get(["q9"])
    clocked.raw_queries.put([record])
    for _ in range(2):
        counts = clocked.read(writes=True)
        assert (counts.reused, counts.unsettled) == (9, 1)


def test_blocks_of_another_version_or_length_are_made_again(clocked):
    clocked.read(writes=True)
    clocked.rules = replace(RULES, version=RULES.version + 1)
    assert clocked.read(writes=True).remade == 10
    clocked.rules = replace(clocked.rules, length=DAY // 2)
    assert clocked.read().reused == 0
    assert clocked.read(writes=True).reused == 0
    assert {head.end - head.start for head in BlockStore(clocked.blocks).list_heads()} == {DAY // 2}


def test_settings_change_no_block(clocked):
    clocked.read(writes=True)
    actions = {**DEFAULT_ACTIONS, "click": 0.3, "scroll": 2.0}
    del actions["relevant"]
    assert clocked.read(writes=True, actions=actions).reused == 10
    space = EmbeddingSpace(number=2, since=(FIRST_DAY + 2 * DAY) * 1000 + 150_000)
    assert clocked.read(writes=True, space=space).reused == 10


def test_blocks_go_with_the_history_that_is_read(clocked):
    clocked.read(writes=True)
    counts = clocked.read(writes=True, history_days=(TODAY - FIRST_DAY) / DAY - 2)
    assert counts.reused == 6
    starts = {head.start for head in BlockStore(clocked.blocks).list_heads()}
    assert starts == {FIRST_DAY + day * DAY for day in (2, 3, 4)}


def test_nothing_of_a_client_is_left_in_blocks_that_was_forgotten(clocked):
    for number in range(3):
        clocked.click(
            500 + number, FIRST_DAY + 2 * DAY + 9.5, client_id="gone", session_id="secret"
        )
    clocked.now += 2 * HOUR_MS
    clocked.read(writes=True)
    assert "secret" in clocked.list_texts()
    clocked.forget("gone")
    assert "secret" not in clocked.list_texts()
    assert clocked.read().reused == 8
    clocked.read(writes=True)
    assert clocked.read(writes=True).records_read == 0


def test_a_block_made_while_its_records_are_erased_does_not_stay(clocked, monkeypatch):
    clocked.click(500, FIRST_DAY + 9.5, client_id="gone", session_id="secret")
    clocked.now += 2 * HOUR_MS
    write = BlockStore.write_all

    def write_after_erasure(store, blocks):
        if any(draft.start == FIRST_DAY and draft.kind == "events" for draft, _ in blocks):
            clocked.forget("gone")
        return write(store, blocks)

    monkeypatch.setattr(BlockStore, "write_all", write_after_erasure)
    blocked = clocked.open(writes=True)
    load_log(clocked.queries, clocked.events, FeedbackSettings(), DIMENSION, blocks=blocked)
    assert "secret" not in clocked.list_texts()
    assert clocked.read(writes=True).unsettled == 0


def test_a_record_that_no_range_of_times_finds_is_read_all_the_same(clocked):
    clocked.read(writes=True)
    clocked.events.put([Record("odd", {"query_id": "q1", "action_name": "click", "object_id": 1})])
    assert clocked.read(writes=True).reused == 5


def test_what_is_stored_while_records_are_counted_costs_no_block(clocked):
    clocked.read(writes=True)
    count, numbers = clocked.events.count, iter(range(1000, 2000))

    def count_in_traffic(where=None):
        result = count(where)
        clocked.click(next(numbers), clocked.now / 1000)
        return result

    clocked.events.count = count_in_traffic
    blocked = clocked.open(writes=True)
    load_log(clocked.queries, clocked.events, FeedbackSettings(), DIMENSION, blocks=blocked)
    assert (blocked.counts.reused, blocked.counts.made) == (10, 0)
    clocked.events.count = count
    assert clocked.read().reused == 10


def test_searches_that_only_records_can_tell_of_get_no_block(clocked):
    clocked.queries.put(
        [
            Record(
                "odd",
                {"query_id": "odd", "timestamp": FIRST_DAY + 3.0, "shown": [True]},
                VECTORS[0],
            )
        ]
    )
    clocked.now += 2 * HOUR_MS
    counts = clocked.read(writes=True)
    assert (counts.made, counts.unsettled) == (9, 1)


def test_a_small_log_has_no_blocks(clocked):
    clocked.rules = replace(RULES, min_records=41)
    clocked.read(writes=True)
    assert clocked.blocks.count() == 0
    clocked.rules = replace(RULES, min_records=40)
    assert clocked.read(writes=True).made == 10
    clocked.rules = replace(RULES, min_records=41)
    clocked.read(writes=True)
    assert clocked.blocks.count() == 0


def test_days_with_few_records_have_no_block_and_are_read_together(clocked):
    clocked.now -= 2 * HOUR_MS
    for number in range(1200):
        clocked.click(1000 + number, FIRST_DAY + DAY + 1.0 * number)
    clocked.now += 2 * HOUR_MS
    clocked.rules = replace(RULES, min_block_records=20)
    scans = []
    scan = clocked.events.scan

    def list_scans(where=None, **how):
        scans.append(where)
        return scan(where, **how)

    clocked.events.scan = list_scans
    assert (counts := clocked.read(writes=True)).made == 1
    assert (counts.unsettled, counts.records_read) == (0, 1208 + 32 + 40)
    assert len(scans) < 12
    assert clocked.read(writes=True).records_in_blocks == 1208


def test_whoever_may_not_read_blocks_reads_the_records(clocked, monkeypatch):
    def refuse(*_: Any, **__: Any) -> Any:
        raise Unauthorised

    clocked.read(writes=True)
    monkeypatch.setattr(BlockStore, "list_heads", refuse)
    assert clocked.read().records_read == 80


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
@given(st.lists(STEPS, max_size=40), st.sampled_from([0, 5, RULES.span_records]))
def test_any_history_of_a_log_gives_the_same_bits(steps, span_records):
    clocked = ClockedLog(rules=replace(RULES, span_records=span_records))
    for name, number, what in steps:
        clocked.skew = (number - 6) * HOUR_MS // 7
        match name:
            case "search" | "click":
                getattr(clocked, name)(number, what)
            case "unstamped":
                document = {"timestamp": what, "shown": [number], "session_id": "old"}
                clocked.raw_queries.put([Record(f"q{number}", document, VECTORS[0])])
            case "erase":
                keys = [record.key for batch in clocked.events.scan() for record in batch]
                clocked.events.delete(keys[number : number + 1])
                clocked.queries.delete([f"q{number}"])
            case "forget":
                clocked.forget(f"c{number % 3}")
            case "damage":
                keys = list(clocked.database.store.records.get("docs__nudge_blocks", ()))
                clocked.blocks.put([Record(key, {"part": "head"}) for key in keys[number::7]])
            case "wait":
                clocked.now += what * HOUR_MS
            case "version":
                clocked.rules = replace(clocked.rules, version=number % 2)
            case _:
                clocked.read(writes=name == "cycle", history_days=what)
    clocked.read(writes=True)
    clocked.read()
