"""Closed days of the log as blocks, on each engine, and in whole cycles."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nudge_sync import cycle
from nudge_sync.feedback.blocks import blocked_log
from nudge_sync.feedback.erase import FeedbackSelector, erase_feedback
from nudge_sync.feedback.log.collection_log import load_collection_log
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.feedback.stats import summarise_log
from nudge_sync.store.feedback.block_store import BlockStore
from nudge_sync.store.feedback.stamped_records import StampedRecords
from nudge_sync.store.ledger import now_ms
from nudge_sync.store.target import Companion, Target, open_companion
from tests.support.feedback_store import list_columns
from tests.support.sample_collection import SETTINGS, SampleCollection

DAY, DAYS, QUERIES = 86_400, 4, 300
FIRST_DAY = now_ms() // 1000 // DAY * DAY - 9 * DAY
WITHOUT_BLOCKS = SETTINGS.model_copy(
    update={"feedback": SETTINGS.feedback.model_copy(update={"block_days": 0.0})}
)


@pytest.fixture(autouse=True)
def blocks_for_small_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked_log, "MIN_RECORDS", 1)


def store_days(sample: SampleCollection) -> Target:
    """Store a label for each of some queries, on four days, two hours ago."""
    target = sample.target()

    def open_two_hours_ago(companion: Companion) -> StampedRecords:
        records = open_companion(target.database, "docs", companion, target.facts)
        return StampedRecords(records, lambda: now_ms() - 7_200_000)

    searches, events = [], []
    for row in range(QUERIES):
        who = {"client_id": f"c{row % 5}", "timestamp": FIRST_DAY + row % DAYS * DAY + 60.25 * row}
        answer = sample.data.answers[row]
        searches.append(
            to_search_record(Search(f"q{row}", sample.data.queries[row], shown=(answer,), **who))
        )
        events.append(to_event_record(Event(f"q{row}", "relevant", answer, **who)))
    open_two_hours_ago("queries").put(searches)
    open_two_hours_ago("events").put(events)
    return target


def read_both(target: Target, *, keep_blocks: bool = False) -> Log:
    """Read the log by blocks, assert that it is the log of all records, and return it."""
    log = load_collection_log(target, SETTINGS, keep_blocks=keep_blocks)
    whole = load_collection_log(target, WITHOUT_BLOCKS)
    assert list_columns(log) == list_columns(whole)
    assert whole.block_counts is None
    return log


def test_each_engine_gives_the_same_log_from_blocks(
    any_sample_collection: SampleCollection,
) -> None:
    target = store_days(any_sample_collection)
    assert read_both(target, keep_blocks=True).block_counts.made == 2 * DAYS
    counts = read_both(target).block_counts
    assert (counts.reused, counts.records_read) == (2 * DAYS, 0)

    (search,) = target.queries.get(["q1"])
    target.queries.put([replace(search, document={**search.document, "session_id": "late"})])
    counts = read_both(target, keep_blocks=True).block_counts
    assert (counts.reused, counts.unsettled) == (2 * DAYS - 1, 1)

    erase_feedback(target, FeedbackSelector(client="c3"))
    heads = BlockStore(target.blocks).list_heads()
    assert heads == []
    assert target.blocks.count({"part": "data"}) == 0
    assert read_both(target, keep_blocks=True).block_counts.made == 2 * DAYS - 1
    assert read_both(target, keep_blocks=True).block_counts.reused == 2 * DAYS - 1


def test_a_cycle_makes_blocks_and_plans_the_same_from_them(
    sample_collection: SampleCollection,
) -> None:
    target = store_days(sample_collection)
    before = cycle.plan(target, SETTINGS)
    assert target.blocks.count() == 0
    report = cycle.apply(target, SETTINGS)
    assert report.summary()["blocks"]["made"] == 2 * DAYS
    after = cycle.plan(sample_collection.target(), SETTINGS)
    assert after.block_counts.reused == 2 * DAYS
    assert after.inputs.feedback_digest == before.inputs.feedback_digest
    assert after.inputs.settings_digest == cycle.plan(target, WITHOUT_BLOCKS).inputs.settings_digest
    again = cycle.apply(sample_collection.target(), SETTINGS)
    assert (again.outcome, again.plan.block_counts.records_read) == ("unchanged", 0)
    log = load_collection_log(target, SETTINGS)
    stats = summarise_log(log, SETTINGS.feedback, target.facts.points).summary()
    assert stats["blocks"]["records_in_blocks"] == 2 * QUERIES


def test_a_cycle_without_blocks_deletes_them(sample_collection: SampleCollection) -> None:
    target = store_days(sample_collection)
    load_collection_log(target, SETTINGS, keep_blocks=True)
    load_collection_log(target, WITHOUT_BLOCKS)
    assert target.blocks.count() > 0
    cycle.apply(target, WITHOUT_BLOCKS)
    assert target.blocks.count() == 0


def test_what_was_stored_says_when_to_filters_alone(sample_collection: SampleCollection) -> None:
    target = sample_collection.target()
    start = now_ms()
    sample_collection.add_judgements(range(3))
    assert target.queries.count({"stored_at": (float(start), now_ms() + 1.0)}) == 3
    assert target.events.count({"stored_at": (1.0, float(start))}) == 0
    records = [*target.queries.get(["q1"]), *next(target.events.scan())]
    assert not [record for record in records if "stored_at" in record.document]
