"""Lines that say who asked for what: kept, checked, and the oldest deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nudge_sync.errors import DamagedRecord
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.audit import (
    MAX_AUDIT_TEXT_LENGTH,
    begin_audit_line,
    end_audit_line,
    prune_audit_lines,
    read_audit_lines,
)
from nudge_sync.store.upkeep.integrity import find_damaged_records
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore


@pytest.fixture
def target():
    store = MemoryStore()
    store.create("docs", 4)
    return open_target(MemoryDatabase(store), "docs")


def test_a_line_says_what_came_of_it(target):
    line = begin_audit_line(target, "rollback", "Anna", "192.0.2.7", to="3", reason="why not")
    assert read_audit_lines(target) == [line]
    assert (line.state, line.ended_at) == ("begun", 0)
    end_audit_line(target, line, "done", revision=5)
    [ended] = read_audit_lines(target)
    assert (ended.state, ended.revision, ended.by) == ("done", 5, "Anna")
    assert ended.ended_at >= ended.begun_at
    assert ended.summary()["reason"] == "why not"
    assert target.open_ledger().entries() == []


def test_long_texts_are_cut(target):
    begin_audit_line(target, "hold", "x" * 10_000, "y" * 10_000)
    [line] = read_audit_lines(target)
    assert len(line.by) == len(line.address) == MAX_AUDIT_TEXT_LENGTH


def test_the_newest_are_kept(target):
    lines = [begin_audit_line(target, f"action {number}", "", "") for number in range(5)]
    assert prune_audit_lines(target, 9) == 0
    assert prune_audit_lines(target, 2) == 3
    kept = sorted(lines, key=lambda line: line.key)[-2:]
    assert read_audit_lines(target) == kept


def test_a_forged_line_is_refused_and_named(target):
    line = begin_audit_line(target, "apply", "Anna", "192.0.2.7")
    [record] = target.ledger_records.get([line.key])
    forged = {**record.document, "line": {**record.document["line"], "by": "Bob"}}
    target.ledger_records.put([replace(record, document=forged)])
    with pytest.raises(DamagedRecord, match=line.key):
        read_audit_lines(target)
    assert list(find_damaged_records(target)) == [f"{target.ledger_name} {line.key!r}"]
