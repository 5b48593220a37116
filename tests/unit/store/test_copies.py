"""Copies of originals, compared with those of the collection that they stand beside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nudge_sync.connector import Replication
from nudge_sync.errors import UnsupportedCollection
from nudge_sync.store import copies
from nudge_sync.store.copies import make_missing_copies, read_copies, refuse_fewer_copies
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase

TWO, THREE = Replication(2, 2, 2), Replication(3, 3, 3)


@pytest.fixture
def database():
    """A collection of which there are two copies."""
    database = MemoryDatabase()
    database.store.create("docs", 3, replicas=2)
    database.store.upsert("docs", [1, 2], np.eye(3, dtype=np.float32)[:2])
    return database


@pytest.fixture
def target(database):
    return open_target(database, "docs")


def move_a_point(target):
    target.shadow.add_originals(1, [1], np.eye(3, dtype=np.float32)[:1])


def set_copies(target, companion, **fields):
    replications = target.database.store.replications
    name = f"docs__nudge_{companion}"
    replications[name] = replace(replications[name], **fields)


def test_originals_get_the_copies_of_the_collection(target):
    move_a_point(target)
    assert target.database.replication("docs__nudge_originals") == TWO
    report = read_copies(target)
    assert report.summary()["docs__nudge_originals"]["replicas"] == 2
    assert set(report.summary()) == {"docs", *(f"docs__nudge_{each}" for each in report.companions)}
    assert report.find_problems() == report.list_notes() == []
    refuse_fewer_copies(target, allow_fewer=False)


def test_a_database_without_copies_is_asked_nothing():
    database = MemoryDatabase()
    database.store.create("docs", 3)
    target = open_target(database, "docs")
    assert read_copies(target) is None
    refuse_fewer_copies(target, allow_fewer=False)
    assert make_missing_copies(target) == []


@pytest.mark.parametrize("companion", ["originals", "history", "revisions"])
@pytest.mark.parametrize("fields", [{"factor": 1, "replicas": 1}, {"replicas": 1}])
def test_what_leads_back_must_not_have_fewer_copies(target, companion, fields):
    move_a_point(target)
    target.database.store.records.setdefault(f"docs__nudge_{companion}", {})
    target.database.store.replications[f"docs__nudge_{companion}"] = replace(TWO, **fields)
    with pytest.raises(UnsupportedCollection, match=rf"docs__nudge_{companion}.*check --mend"):
        refuse_fewer_copies(target, allow_fewer=False)
    refuse_fewer_copies(target, allow_fewer=True)


def test_a_collection_that_got_more_copies_later_is_noticed(target):
    move_a_point(target)
    target.database.store.replications["docs"] = THREE
    (problem,) = read_copies(target).find_problems()
    assert "2 copies (a write needs 1), not 3 copies" in problem
    with pytest.raises(UnsupportedCollection):
        refuse_fewer_copies(target, allow_fewer=False)


def test_a_write_has_to_be_taken_by_as_many_copies(target):
    move_a_point(target)
    target.database.store.replications["docs"] = replace(TWO, write_consistency=2)
    assert len(read_copies(target).find_problems()) == 1


def test_a_copy_on_a_node_that_is_down_is_a_note_and_no_refusal(target):
    move_a_point(target)
    set_copies(target, "originals", active=1)
    assert read_copies(target).find_problems() == []
    (note,) = read_copies(target).list_notes()
    assert "docs__nudge_originals" in note
    assert "1 active copy of 2" in note


def test_feedback_with_fewer_copies_is_a_note(target):
    target.database.store.records["docs__nudge_events"] = {}
    target.database.store.replications["docs__nudge_events"] = Replication()
    assert read_copies(target).find_problems() == []
    (note,) = read_copies(target).list_notes()
    assert "docs__nudge_events" in note


def test_missing_copies_are_made(target, monkeypatch):
    monkeypatch.setattr(copies, "_POLL_SECONDS", 0.0)
    move_a_point(target)
    target.database.store.replications["docs"] = replace(THREE, write_consistency=2)
    (sentence,) = make_missing_copies(target)
    assert "docs__nudge_originals" in sentence
    made = target.database.replication("docs__nudge_originals")
    assert (made.factor, made.active, made.write_consistency) == (3, 3, 2)
    refuse_fewer_copies(target, allow_fewer=False)
    assert make_missing_copies(target) == []


def test_more_copies_than_nodes_are_refused(target):
    move_a_point(target)
    target.database.store.replications["docs"] = Replication(4, 4, 4)
    with pytest.raises(UnsupportedCollection, match="4 copies on 3 nodes"):
        make_missing_copies(target)
