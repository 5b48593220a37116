"""The UBI source, against a real OpenSearch server."""

from __future__ import annotations

from contextlib import closing

import pytest

from nudge_sync.errors import ConfigError, SourceError
from nudge_sync.feedback.ingest.formats import open_source
from nudge_sync.testing.source_conformance import SourceConformance
from nudge_sync.testing.sources import list_rows, make_searches, select_events
from tests.support.sources.ubi_world import UbiWorld


@pytest.fixture
def world(opensearch_url) -> UbiWorld:
    return UbiWorld(opensearch_url)


class TestUbi(SourceConformance):
    """The kit, but for what models judge: UBI knows people alone."""

    test_what_models_judge_is_left_out = None


def test_more_documents_of_one_millisecond_than_a_page_holds(world):
    [search] = make_searches(1, days_ago=1)
    world.log_searches([search])
    events = [
        world.build_event(search, "p0", "click") | {"client_id": f"c{n}"} for n in range(2500)
    ]
    world.add_documents("events", events)
    with closing(world.open()) as source:
        pages = list(source.read_pages())
        again = list(source.read_pages(pages[-1].cursor))
    clients = [event["client"] for event in select_events(list_rows(pages))]
    assert set(clients) == {f"c{n}" for n in range(2500)}
    assert len(clients) < 2600, "more than a few came twice"
    # All of the last millisecond may come again, and nothing is lost by it.
    assert len(select_events(list_rows(again))) == len(clients)


def test_only_the_application_that_is_named(world):
    searches = make_searches(3, days_ago=1)
    world.log_searches(searches)
    event = world.build_event(searches[0], "p0", "click")
    world.add_documents("events", [event, {**event, "application": "intranet"}])
    world.section["application"] = "intranet"
    with closing(world.open()) as source:
        rows = list_rows(source.read_pages())
    assert [row["action"] for row in rows] == ["click"]


def test_an_index_that_is_not_there(world):
    world.section["events"] = "no_such_index"
    with closing(world.open()) as source, pytest.raises(SourceError, match="no_such_index"):
        source.describe()


def test_half_a_login_is_refused(world, monkeypatch):
    monkeypatch.setenv("OPENSEARCH_USERNAME", "reader")
    with pytest.raises(ConfigError, match="OPENSEARCH_PASSWORD"):
        world.open()


def test_a_bulk_request_in_a_file_is_the_same_feedback_as_the_indices(world, tmp_path):
    searches = make_searches(2, days_ago=1)
    text = world.log_searches(searches)
    text += world.add_documents("events", [world.build_event(searches[0], "p1", "click")])
    path = tmp_path / "ubi.ndjson"
    path.write_text(text)
    imported = [row.content for row in open_source(path).read_rows()]
    with closing(world.open()) as source:
        fetched = list_rows(source.read_pages())
    assert [describe(row) for row in imported] == [describe(row) for row in fetched]
    assert len(fetched) == 3


def describe(row):
    names = ("query_id", "text", "shown", "action", "point", "position", "session", "client")
    return {name: row.get(name) for name in names}
