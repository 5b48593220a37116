"""Searches and events in collections of the application's own, whose fields the settings map."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nudge_sync.config import CollectionSettings
from nudge_sync.errors import ConfigError
from nudge_sync.feedback.erase import FeedbackSelector, delete_feedback, export_rows
from nudge_sync.feedback.judgements import load_judgements, read_judgements
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import EventLog, FeedbackSettings, SearchLog
from tests.support.external_log import (
    EVENT_LOG,
    MAPPED_FEEDBACK,
    SEARCH_LOG,
    fill_log,
    log_everything,
    make_event_rows,
    make_search_rows,
)
from tests.support.sample_collection import DIMENSION, SampleCollection, open_sample_collection


@pytest.fixture
def sample_collection(tmp_path: Path) -> Iterator[SampleCollection]:
    with open_sample_collection("memory", tmp_path) as sample:
        yield sample


def test_logged_and_own_feedback_are_one(sample_collection: SampleCollection):
    log_everything(sample_collection, range(10))
    sample_collection.add_judgements([0, 20])
    feedback = open_feedback(sample_collection.target(), MAPPED_FEEDBACK)
    assert (feedback.queries.count(), feedback.events.count()) == (11, 12)
    [own] = feedback.queries.get(["q0"])
    assert own.document["text"] == ""
    [logged, _] = feedback.queries.get(["q3", "q20", "q99"])
    assert (logged.document["text"], logged.document["session_id"]) == ("question 3", "s3")
    [search] = [record for batch in feedback.queries.scan({"client_id": "c4"}) for record in batch]
    assert search.key == "q4"
    between = {"timestamp": (1_700_000_002.0, 1_700_000_004.0)}
    assert feedback.queries.count(between) == 2
    assert feedback.count_external({"client_id": "c4"}) == {"search_log": 1}


def test_what_is_held_on_a_client_whose_searches_are_in_a_log(sample_collection: SampleCollection):
    fill_log(
        sample_collection,
        "search_log",
        sample_collection.data.queries[:10],
        make_search_rows(sample_collection, range(10)),
    )
    sample_collection.add_judgements([2, 3])
    target = sample_collection.target()
    queries, events = target.queries, target.events
    events.put(
        [to_event_record(Event("q7", "relevant", 5)), to_event_record(Event("q8", "click", 5))]
    )
    feedback = open_feedback(target, FeedbackSettings(searches=SEARCH_LOG))
    for selector, name in (
        (FeedbackSelector(client="c2"), "q2"),
        (FeedbackSelector(session="s7"), "q7"),
    ):
        query_ids = selector.find_query_ids(feedback)
        rows = list(export_rows(queries, events, selector, query_ids))
        assert {row["query_id"] for row in rows} == {name}
        assert feedback.count_external(selector.to_filter(), query_ids) == {"search_log": 1}
        deleted = delete_feedback(queries, events, selector, query_ids)
        assert (deleted.searches, deleted.events) == (name == "q2", 1)
        assert not list(export_rows(queries, events, selector, query_ids))
    left = [event.document["query_id"] for batch in events.scan() for event in batch]
    assert (sorted(left), queries.count()) == (["q3", "q8"], 1)


def test_what_a_log_holds_on_a_client_whose_searches_are_ours(sample_collection: SampleCollection):
    fill_log(
        sample_collection,
        "click_log",
        np.ones((10, 2), np.float32),
        make_event_rows(sample_collection, range(10)),
    )
    target = sample_collection.target()
    clients = {"q3": "alice", "q4": "bob", "q5": "alice"}
    vector = sample_collection.data.queries[0]
    target.queries.put(
        [
            to_search_record(Search(name, vector, client_id=client))
            for name, client in clients.items()
        ]
    )
    feedback = open_feedback(target, FeedbackSettings(events=EVENT_LOG))
    alice = FeedbackSelector(client="alice")
    assert feedback.count_external(alice.to_filter(), alice.find_query_ids(feedback)) == {
        "click_log": 2
    }
    early = FeedbackSelector(before="2023-11-14")
    assert feedback.count_external(early.to_filter(), early.find_query_ids(feedback)) == {}
    late = FeedbackSelector(before="2023-11-15")
    assert feedback.count_external(late.to_filter(), late.find_query_ids(feedback)) == {
        "click_log": 10
    }
    query = FeedbackSelector(query="q4")
    assert feedback.count_external(query.to_filter(), query.find_query_ids(feedback)) == {
        "click_log": 1
    }


def test_clicks_may_stand_in_the_search_itself(sample_collection: SampleCollection):
    rows = [{"clicked": [3, 4]}, {"clicked": []}, {}, {"clicked": 5}, {"clicked": [None]}]
    fill_log(sample_collection, "search_log", sample_collection.data.queries[: len(rows)], rows)
    fields = EventLog(collection="search_log", query_id="qid", point="clicked")
    for number, row in enumerate(rows):
        row["qid"] = number
    settings = FeedbackSettings(searches=SearchLog(collection="search_log"), events=fields)
    feedback = open_feedback(sample_collection.target(), settings)
    documents = [record.document for batch in feedback.events.scan() for record in batch]
    clicks = [event for event in documents if "query_id" in event]
    clicked = [(event["query_id"], event["object_id"]) for event in clicks]
    assert clicked == [("0", 3), ("0", 4), ("3", 5)]
    assert {event["action_name"] for event in clicks} == {"click"}
    judgements = read_judgements(feedback.queries, feedback.events, settings, DIMENSION)
    assert (judgements.funnel[0].name, judgements.funnel[0].removed) == ("records", 1)
    keys = {record.key for batch in feedback.queries.scan(vectors=False) for record in batch}
    assert keys == {"1000", "1001", "1002", "1003", "1004"}


WRONG = {
    "no such collection": ({"collection": "absent"}, {}, "collection = .absent.*no collection"),
    "no such field": ({"shown": "hitz"}, {}, r"searches\] shown = .hitz.*they have: hits, q, qid"),
    "no such nested field": ({"query_id": "who.id"}, {}, "query_id = .who.id"),
    "no such vector": ({"vector": "title"}, {}, f"need vectors of {DIMENSION}.*none at all"),
    "other vectors": ({"collection": "click_log"}, {}, "none of the first"),
    "no such point": ({}, {"point": "document"}, r"events\] point = .document"),
    "no such action": ({}, {"action": "verb"}, r"events\] action = .verb.*they have: at, doc"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_there_is_named(sample_collection: SampleCollection, name: str):
    search_fields, event_fields, message = WRONG[name]
    log_everything(sample_collection, range(10))
    settings = FeedbackSettings(
        searches=SEARCH_LOG.model_copy(update=search_fields),
        events=EVENT_LOG.model_copy(update=event_fields),
    )
    with pytest.raises(ConfigError, match=message):
        load_judgements(sample_collection.target(), CollectionSettings(feedback=settings))


def test_vectors_of_another_size_are_named(sample_collection: SampleCollection):
    fill_log(
        sample_collection,
        "search_log",
        np.ones((3, 2), np.float32),
        make_search_rows(sample_collection, range(3)),
    )
    settings = CollectionSettings(feedback=FeedbackSettings(searches=SEARCH_LOG))
    with pytest.raises(ConfigError, match=f"need vectors of {DIMENSION} numbers.*have 2"):
        load_judgements(sample_collection.target(), settings)
