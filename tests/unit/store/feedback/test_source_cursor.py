"""The cursors of feedback sources in the ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nudge_sync.settings.sources import SourceSettings
from nudge_sync.store.feedback.source_cursor import CursorStore
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase


@pytest.fixture
def target():
    database = MemoryDatabase()
    database.store.create("docs", 4)
    return open_target(database, "docs")


def make_store(target, **table) -> CursorStore:
    return CursorStore(target, SourceSettings.model_validate({"source": "phoenix", **table}))


def test_what_was_written_is_read_again(target):
    store = make_store(target, project="a")
    assert store.read() == ""
    store.write("one")
    store.write("two")
    assert make_store(target, project="a").read() == "two"


def test_each_source_has_its_own(target):
    make_store(target, name="a").write("one")
    make_store(target, name="b").write("two")
    assert make_store(target, name="a").read() == "one"
    assert make_store(target, name="c").read() == ""


def test_another_table_begins_again(target):
    make_store(target, project="a").write("one")
    assert make_store(target, project="b").read() == ""


def test_how_texts_are_embedded_is_no_other_table(target):
    make_store(target, embed="m:f").write("one")
    assert make_store(target, embed="m:g", check_model=False).read() == "one"


def test_another_name_of_the_collection_has_its_own(target):
    make_store(target).write("one")
    assert make_store(replace(target, name="alias")).read() == ""


def test_a_damaged_record_counts_as_none(target):
    make_store(target).write("one")
    [record] = target.ledger_records.get(["cursor:docs:phoenix"])
    target.ledger_records.put([replace(record, document={**record.document, "cursor": "else"})])
    assert make_store(target).read() == ""
    make_store(target).write("two")
    assert make_store(target).read() == "two"


def test_the_ledger_does_not_take_it_for_a_revision(target):
    make_store(target).write("one")
    assert target.open_ledger().entries() == []
