"""The LangSmith source, against what LangSmith's own client writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client

from nudge_sync.errors import ConfigError, SourceError
from nudge_sync.testing.source_conformance import SourceConformance
from nudge_sync.testing.sources import list_rows, make_searches
from tests.support.sources.langsmith.server import LangsmithServer
from tests.support.sources.langsmith.world import LangsmithWorld, start_langsmith


@pytest.fixture(autouse=True)
def key(monkeypatch) -> None:
    monkeypatch.setenv("LANGSMITH_API_KEY", "ls")


@pytest.fixture(scope="module")
def product() -> Iterator[tuple[LangsmithServer, Client]]:
    with start_langsmith() as product:
        yield product


@pytest.fixture
def world(product) -> LangsmithWorld:
    return LangsmithWorld(*product)


class TestLangsmith(SourceConformance):
    """The kit."""


def read_events(world: LangsmithWorld) -> list[dict[str, Any]]:
    with closing(world.open()) as source:
        rows = list_rows(source.read_pages())
    return [row for row in rows if row["type"] == "event"]


def list_grades(events: Iterable[dict[str, Any]], action: str) -> list[tuple[str, float]]:
    return [(event["point"], event["grade"]) for event in events if event["action"] == action]


def test_a_thumb_on_an_answer_counts_for_what_it_cites(world):
    world.section["cited"] = "output.value.cited"
    searches = make_searches(2, days_ago=1)
    world.log_searches(searches)
    world.log_feedback(world.get_root(searches[0]), key="thumb", score=True)
    world.log_feedback(world.get_root(searches[1]), key="thumb", score=0.25, comment="well")
    events = read_events(world)
    assert [event["point"] for event in events if event["action"] == "cited"] == ["p0", "p1"]
    assert list_grades(events, "thumb") == [("p0", 1.0), ("p1", 0.25)]


def test_a_thumb_on_an_answer_that_cites_nothing_is_on_no_point(world):
    [search] = make_searches(1, days_ago=1)
    world.log_searches([search])
    world.log_feedback(world.get_root(search), key="thumb", score=1)
    [event] = read_events(world)
    assert event["action"] == "uncited_thumb"


def test_comments_corrections_and_labels_are_no_grades(world):
    world.section["cited"] = "output.value.cited"
    [search] = make_searches(1, days_ago=1)
    world.log_searches([search])
    root = world.get_root(search)
    world.log_feedback(root, key="note", comment="good")
    world.log_feedback(root, key="fix", correction={"answer": "no"})
    world.log_feedback(root, key="tone", value="good")
    assert list_grades(read_events(world), "thumb") == []
    world.section["labels"] = {"good": 2.0}
    assert list_grades(read_events(world), "thumb") == [("p0", 2.0)]


def test_only_the_keys_that_are_named(world):
    world.section |= {"cited": "output.value.cited", "scores": ["helpful"]}
    [search] = make_searches(1, days_ago=1)
    world.log_searches([search])
    world.log_feedback(world.get_root(search), key="latency", score=900)
    world.log_feedback(world.get_root(search), key="helpful", score=1)
    assert list_grades(read_events(world), "thumb") == [("p0", 1.0)]


def test_the_project_is_no_session(world):
    [search] = make_searches(1, days_ago=1)
    world.log_searches([search])
    with closing(world.open()) as source:
        [row] = list_rows(source.read_pages())
    assert row["session"] == "s0" != world.project_id


def test_documents_that_langchain_traces_are_read(world):
    class Retriever(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            return [Document(page_content="text", metadata={"doc_id": each}) for each in "ab"]

    tracer = LangChainTracer(project_name=world.project, client=world.client)
    Retriever().invoke(
        "red shoes", config={"callbacks": [tracer], "metadata": {"thread_id": "t", "user_id": "u"}}
    )
    world.client.flush()
    with closing(world.open()) as source:
        [row] = list_rows(source.read_pages())
    assert (row["text"], row["shown"]) == ("red shoes", ["a", "b"])
    assert (row["session"], row["client"]) == ("t", "u")


def test_more_feedback_than_a_page_holds(world):
    [search] = make_searches(1, days_ago=1)
    world.log_searches([search])
    run = world.logged[search.text]
    for number in range(250):
        world.log_feedback(run, key="relevance", value={f"x{number}": 1.0})
    world.server.busy_answers = ["1"]
    points = {event["point"] for event in read_events(world)}
    assert points == {f"x{number}" for number in range(250)}


def test_a_project_that_is_not_there(world):
    world.section["project"] = "no such project"
    with closing(world.open()) as source, pytest.raises(SourceError, match="no such project"):
        source.describe()


def test_a_wrong_key_and_none(world, monkeypatch):
    monkeypatch.setenv("LANGSMITH_API_KEY", "wrong")
    with closing(world.open()) as source, pytest.raises(SourceError, match="401"):
        source.describe()
    monkeypatch.delenv("LANGSMITH_API_KEY")
    with pytest.raises(ConfigError, match="LANGSMITH_API_KEY"):
        world.open()


def test_the_address_of_its_client_is_taken_too(world):
    world.section["url"] += "/api/v1"
    with closing(world.open()) as source:
        assert source.describe().version == "0.16.2"
