"""Blob exports of Langfuse as a source, in the documented layout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from nudge_sync.errors import ConfigError, SourceError
from nudge_sync.source.langfuse import export
from nudge_sync.source.openinference import rows
from nudge_sync.testing.source_conformance import SourceConformance
from nudge_sync.testing.sources import (
    list_rows,
    make_opinions,
    make_searches,
    select_events,
    select_searches,
)
from tests.support.sources.langfuse.export import WRITERS, LangfuseExportWorld
from tests.support.sources.langfuse.world import LangfuseWorld, start_langfuse


@pytest.fixture(params=WRITERS)
def world(request, tmp_path) -> Iterator[LangfuseExportWorld]:
    with start_langfuse() as product:
        yield LangfuseExportWorld(tmp_path, request.param, *product)


class TestLangfuseExport(SourceConformance):
    """The kit."""


def test_a_category_is_no_grade_though_it_has_a_number(world):
    world.section["cited"] = "metadata.cited"
    [search] = make_searches(1, days_ago=1)
    world.log_searches([search])
    world.log_thumb(search, "good", data_type="CATEGORICAL")
    world.log_thumb(search, "long", data_type="TEXT")
    world.export()
    thumbs = {}
    for labels in ({}, {"good": 2.0}):
        world.section["labels"] = labels
        with closing(world.open()) as source:
            events = select_events(list_rows(source.read_pages()))
        thumbs[len(labels)] = [each["grade"] for each in events if each["action"] == "thumb"]
    assert thumbs == {0: [], 1: [2.0]}


@pytest.mark.parametrize("cut", [slice(0, -20), slice(0, 15)])
def test_a_file_that_ends_in_the_middle_is_named(world, cut):
    world.log_searches(make_searches(1, days_ago=1))
    *_, path = sorted((world.folder / "project" / "observations_v2").iterdir())
    path.write_bytes(path.read_bytes()[cut])
    with closing(world.open()) as source, pytest.raises(SourceError, match=path.name):
        list(source.read_pages())


def test_scores_wait_for_the_observations_of_their_export(world):
    # Langfuse writes the files of an export at once, and the smaller one is there first.
    [search] = make_searches(1, days_ago=1)
    LangfuseWorld.log_searches(world, [search])
    LangfuseWorld.log_opinions(world, make_opinions([search]))
    world.export()
    *_, path = sorted((world.folder / "project" / "observations_v2").iterdir())
    whole = path.rename(world.folder / path.name)
    with closing(world.open()) as source:
        early = list(source.read_pages())
        whole.rename(path)
        late = list_rows(source.read_pages(early[-1].cursor))
    assert list_rows(early) == []
    assert len(select_events(late)) == 1


def test_a_first_export_holds_more_than_is_remembered(world, monkeypatch):
    monkeypatch.setattr(rows, "_MAX_EMBEDDINGS", 10)
    monkeypatch.setattr(rows, "_MAX_SPANS", 10)
    monkeypatch.setattr(export, "_BATCH_ROWS", 10)
    world.log_searches(make_searches(20, days_ago=1))
    with closing(world.open()) as source:
        searches = select_searches(list_rows(source.read_pages()))
    assert len([row for row in searches if row["query_vector"] is not None]) == 20


def test_exports_of_two_projects_are_told_apart(world):
    (world.folder / "other" / "observations_v2").mkdir(parents=True)
    with closing(world.open()) as source, pytest.raises(SourceError, match="several projects"):
        source.describe()


def test_a_file_of_another_format_is_named(world):
    path = world.folder / "project" / "observations_v2" / "2026-02-01.csv"
    path.write_text("id\n")
    with closing(world.open()) as source, pytest.raises(SourceError, match=r"2026-02-01\.csv"):
        list(source.read_pages())


def test_an_export_and_an_address_at_once_are_refused(world):
    world.section["url"] = "http://localhost:3000"
    with pytest.raises(ConfigError, match="either url"):
        world.open()
