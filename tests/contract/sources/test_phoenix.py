"""The Phoenix source, against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from nudge_sync.errors import SourceError
from nudge_sync.testing.source_conformance import SourceConformance
from nudge_sync.testing.sources import (
    freeze,
    list_rows,
    make_opinions,
    make_searches,
    select_events,
)
from tests.support.sources.phoenix_world import PhoenixWorld


@pytest.fixture
def world(phoenix_url) -> Iterator[PhoenixWorld]:
    with closing(PhoenixWorld(phoenix_url)) as world:
        yield world


class TestPhoenix(SourceConformance):
    """The kit."""


def test_a_project_that_is_not_there(phoenix_url):
    with closing(PhoenixWorld(phoenix_url)) as world:
        world.section["project"] = "no such project"
        with closing(world.open()) as source, pytest.raises(SourceError, match="404"):
            source.describe()


def test_a_thumb_on_an_answer_counts_for_what_it_cites(phoenix_url):
    with closing(PhoenixWorld(phoenix_url, cited="metadata.cited")) as world:
        searches = make_searches(3, days_ago=1)
        world.log_searches(searches)
        world.log_thumbs(searches[:2], 1.0)
        with closing(world.open()) as source:
            events = select_events(list_rows(source.read_pages()))
    cited = [event["point"] for event in events if event["action"] == "cited"]
    thumbs = [(event["point"], event["grade"]) for event in events if event["action"] == "thumb"]
    assert cited == [search.shown[0] for search in searches]
    assert sorted(thumbs) == [(search.shown[0], 1.0) for search in searches[:2]]


def test_what_models_judge_comes_under_a_name_of_its_own(phoenix_url):
    with closing(PhoenixWorld(phoenix_url)) as world:
        world.section["annotators"] = ["HUMAN", "LLM"]
        searches = make_searches(2, days_ago=1)
        world.log_searches(searches)
        human, model = make_opinions(searches)
        world.log_opinions([human, replace(model, is_from_model=True)])
        with closing(world.open()) as source:
            events = select_events(list_rows(source.read_pages()))
    by_action = {event["action"]: (event["point"], event["grade"]) for event in events}
    assert by_action == {
        "relevant": (human.point, human.grade),
        "machine_relevant": (model.point, model.grade),
    }


def test_a_thumb_on_an_answer_that_cites_nothing_is_on_no_point(phoenix_url):
    with closing(PhoenixWorld(phoenix_url)) as world:
        searches = make_searches(2, days_ago=1)
        world.log_searches(searches)
        world.log_thumbs(searches, 0.0)
        with closing(world.open()) as source:
            rows = list_rows(source.read_pages())
    assert select_events(rows) == []
    assert [row["action"] for row in rows if row["type"] == "event"] == ["uncited_thumb"] * 2


def test_another_database_behind_the_server_is_read_from_its_beginning(phoenix_url):
    with closing(PhoenixWorld(phoenix_url)) as world:
        world.log_searches(make_searches(2, days_ago=1))
        with closing(world.open()) as source:
            [*pages] = source.read_pages()
            moved = pages[-1].cursor.replace('"span":"', '"span":"other')
            again = list_rows(source.read_pages(moved))
    assert list(map(freeze, again)) == list(map(freeze, list_rows(pages)))
