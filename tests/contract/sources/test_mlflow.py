"""The MLflow source, against a real server that its own client fills."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from nudge_sync.errors import SourceError
from nudge_sync.testing.source_conformance import SourceConformance
from nudge_sync.testing.sources import list_rows, make_searches, select_events
from tests.support.sources.mlflow_world import MlflowClient, MlflowWorld, start_mlflow_client


@pytest.fixture(scope="module")
def client(mlflow_url) -> Iterator[MlflowClient]:
    with start_mlflow_client(mlflow_url) as client:
        yield client


@pytest.fixture
def world(client) -> MlflowWorld:
    return MlflowWorld(client)


class TestMlflow(SourceConformance):
    """The kit."""


def test_an_experiment_that_is_not_there(world):
    world.section["experiment"] = "no such experiment"
    with closing(world.open()) as source, pytest.raises(SourceError, match="404"):
        source.describe()


def test_thumbs_and_citations(client):
    world = MlflowWorld(client, cited="output.value.cited")
    searches = make_searches(2, days_ago=1)
    world.log_searches(searches)
    world.log_thumbs(searches[:1], is_up=True)
    with closing(world.open()) as source:
        events = select_events(list_rows(source.read_pages()))
    assert [event["point"] for event in events if event["action"] == "cited"] == ["p0", "p1"]
    [thumb] = [event for event in events if event["action"] == "thumb"]
    assert (thumb["point"], thumb["grade"], thumb["position"]) == ("p0", 1.0, 1)


def test_expected_documents_are_labels_whether_they_were_shown_or_not(world):
    [search] = make_searches(1, days_ago=1)
    world.log_searches([search])
    world.log_expected(search, ["p2", "p77"])
    with closing(world.open()) as source:
        events = select_events(list_rows(source.read_pages()))
    found = [(event["point"], event["grade"], event.get("position")) for event in events]
    assert found == [("p2", 1.0, 3), ("p77", 1.0, None)]
