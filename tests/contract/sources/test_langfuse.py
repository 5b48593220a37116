"""The Langfuse source, against what Langfuse's own client writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from nudge_sync.errors import ConfigError, SourceError, SourceUnreachable
from nudge_sync.testing.source_conformance import SourceConformance
from nudge_sync.testing.sources import (
    list_rows,
    make_opinions,
    make_searches,
    select_events,
    select_searches,
)
from tests.support.sources.langfuse.server import format_moment
from tests.support.sources.langfuse.world import LangfuseWorld, start_langfuse


@pytest.fixture(autouse=True)
def keys(monkeypatch) -> None:
    monkeypatch.delenv("LANGFUSE_PUBLIC_KEY", raising=False)
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk")


@pytest.fixture
def world() -> Iterator[LangfuseWorld]:
    with start_langfuse() as (server, client):
        yield LangfuseWorld(server, client)


class TestLangfuse(SourceConformance):
    """The kit."""


def read_events(world: LangfuseWorld) -> list[dict[str, Any]]:
    with closing(world.open()) as source:
        rows = list_rows(source.read_pages())
    return [row for row in rows if row["type"] == "event"]


def list_grades(events: Iterable[dict[str, Any]], action: str) -> list[tuple[str, float]]:
    return [(event["point"], event["grade"]) for event in events if event["action"] == action]


def test_a_thumb_on_a_trace_counts_for_what_it_cites(world):
    world.section["cited"] = "metadata.cited"
    searches = make_searches(3, days_ago=1)
    world.log_searches(searches)
    world.log_thumb(searches[0], True, data_type="BOOLEAN")
    world.log_thumb(searches[1], 0.25)
    events = read_events(world)
    cited = [event["point"] for event in events if event["action"] == "cited"]
    assert cited == ["p0", "p1", "p2"]
    assert list_grades(events, "thumb") == [("p0", 1.0), ("p1", 0.25)]


def test_a_thumb_on_a_trace_that_cites_nothing_is_on_no_point(world):
    [search] = make_searches(1, days_ago=1)
    world.log_searches([search])
    world.log_thumb(search, 1.0)
    [event] = read_events(world)
    assert event["action"] == "uncited_thumb"
    assert "point" not in event


def test_labels_texts_and_corrections_are_no_grades(world):
    world.section["cited"] = "metadata.cited"
    [search] = make_searches(1, days_ago=1)
    world.log_searches([search])
    world.log_thumb(search, "good", data_type="CATEGORICAL")
    world.log_thumb(search, "bad", data_type="CATEGORICAL")
    world.log_thumb(search, "it was good", data_type="TEXT")
    world.log_thumb(search, "it should say so", data_type="CORRECTION", name="output")
    assert list_grades(read_events(world), "thumb") == []
    world.section["labels"] = {"good": 2.0}
    assert list_grades(read_events(world), "thumb") == [("p0", 2.0)]


def test_only_the_scores_that_are_named(world):
    world.section |= {"cited": "metadata.cited", "scores": ["helpful"]}
    [search] = make_searches(1, days_ago=1)
    world.log_searches([search])
    world.log_thumb(search, 900.0, name="latency_ms")
    world.log_thumb(search, 1.0, name="helpful")
    assert list_grades(read_events(world), "thumb") == [("p0", 1.0)]


def test_evaluations_come_where_the_table_asks_for_them_as_a_models(world):
    world.section |= {"cited": "metadata.cited", "annotators": ["LLM"]}
    [search] = make_searches(1, days_ago=1)
    world.log_searches([search])
    trace_id = world.logged[search.text]["trace"]
    world.add_evaluation({"name": "relevance", "value": 0.75, "trace_id": trace_id})
    world.log_thumb(search, 0.0)
    assert list_grades(read_events(world), "machine_thumb") == [("p0", 0.75)]
    assert list_grades(read_events(world), "thumb") == []


def test_a_score_of_a_session_is_left_out(world):
    [search] = make_searches(1, days_ago=1)
    world.log_searches([search])
    world.client.create_score(name="mood", value=1.0, session_id=search.session)
    world.client.flush()
    assert read_events(world) == []


def test_a_score_that_is_changed_later_comes_again(world):
    world.section["cited"] = "metadata.cited"
    [search] = make_searches(1, days_ago=3)
    world.log_searches([search])
    day = datetime.now(UTC) - timedelta(days=2)
    world.log_thumb(search, 1.0, score_id="thumb", timestamp=day)
    with closing(world.open()) as source:
        cursor = list(source.read_pages())[-1].cursor
    world.log_thumb(search, 0.0, score_id="thumb", timestamp=day)
    with closing(world.open()) as source:
        late = select_events(list_rows(source.read_pages(cursor)))
    assert list_grades(late, "thumb") == [("p0", 0.0)]


def test_all_pages_are_read_and_a_busy_server_is_waited_for(world):
    searches = make_searches(2, days_ago=1)
    world.log_searches(searches)
    # What its client would send, more often than is worth waiting for here.
    retriever = world.server.observations[world.logged[searches[0].text]["retriever"]]
    for number in range(2, 1300):
        copy = {**retriever, "id": f"copy{number}", "traceId": f"trace{number}"}
        world.server.observations[copy["id"]] = copy
    world.server.busy_answers = ["1", format_datetime(datetime.now(UTC))]
    with closing(world.open()) as source:
        rows = select_searches(list_rows(source.read_pages()))
    assert len({row["query_id"] for row in rows}) == 1300
    assert world.server.busy_answers == []


def test_a_server_that_stays_busy_is_unreachable(world):
    world.server.busy_answers = ["3600"]
    with closing(world.open()) as source, pytest.raises(SourceUnreachable, match="429"):
        source.describe()


def test_wrong_keys(world, monkeypatch):
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "wrong")
    with closing(world.open()) as source, pytest.raises(SourceError, match="401"):
        source.describe()


def test_missing_keys(world, monkeypatch):
    monkeypatch.delenv("LANGFUSE_SECRET_KEY")
    with pytest.raises(ConfigError, match="LANGFUSE_SECRET_KEY"):
        world.open()


def test_an_answer_of_another_shape(world):
    answer = {"data": [{"id": "o1", "type": "RETRIEVER"}], "meta": {}}
    world.server.routes["GET", "/api/public/v2/observations"] = lambda _: answer
    with closing(world.open()) as source, pytest.raises(SourceError, match="documented shape"):
        list(source.read_pages())


def test_an_opinion_of_long_ago_is_looked_up_once(world):
    searches = make_searches(3, days_ago=3)
    world.log_searches(searches)
    world.log_opinions(make_opinions(searches))
    day = format_moment(datetime.now(UTC) - timedelta(days=2))
    for score in world.server.scores.values():
        score |= {"timestamp": day, "createdAt": day, "updatedAt": day}
    with closing(world.open()) as source:
        cursor = list(source.read_pages())[-1].cursor
        world.server.answered.clear()
        assert list_rows(source.read_pages(cursor)) == []
    assert len(world.server.answered) == 3, "observations of two types, and scores"
