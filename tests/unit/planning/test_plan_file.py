"""A plan comes back from its file whole, or is refused; and it must fit the collection."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nudge_sync.errors import InputError
from nudge_sync.planning.plan_file import (
    load_plan,
    refuse_excessive_angles,
    refuse_mismatched_plan,
    save_plan,
)
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.fake_plan import make_fake_plan
from tests.support.unit_vectors import make_unit_rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.jsonl"


def test_a_plan_comes_back_but_for_its_live_vectors(path: Path) -> None:
    vectors = make_unit_rows(3, 4, 1)
    plan = make_fake_plan(3, 4, live_vectors=vectors)
    save_plan(plan, path)
    loaded = load_plan(path)
    assert loaded.rows.live_vectors is None
    assert loaded.rows.live_digests == plan.rows.live_digests
    assert loaded.rows.vectors.tobytes() == plan.rows.vectors.tobytes()
    assert replace(loaded, rows=plan.rows) == plan
    assert loaded.summary() == plan.summary()


def test_a_person_can_read_it(path: Path) -> None:
    save_plan(make_fake_plan(2), path)
    header, *rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert (header["collection"], header["rows"]) == ("docs", 2)
    assert [row["id"] for row in rows] == [0, 1]
    assert rows[0].keys() == {"id", "live", "angle", "vector"}


def test_an_older_file_is_replaced_and_nothing_else_is_left(path: Path) -> None:
    save_plan(make_fake_plan(3), path)
    save_plan(make_fake_plan(1), path)
    assert len(load_plan(path).rows) == 1
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("cut", [1, 40, -2])
def test_a_file_that_was_cut_short_is_refused(path: Path, cut: int) -> None:
    save_plan(make_fake_plan(3), path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"plan\.jsonl: "):
        load_plan(path)


def test_a_file_without_its_last_row_is_refused(path: Path) -> None:
    save_plan(make_fake_plan(3), path)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="cut short or changed since it was written; plan again"):
        load_plan(path)


def test_a_folder_and_a_missing_file_are_said(path: Path) -> None:
    with pytest.raises(InputError, match="not a plan file"):
        load_plan(path)
    with pytest.raises(InputError, match="not a plan file"):
        load_plan(path.parent)
    with pytest.raises(InputError, match="cannot be written"):
        save_plan(make_fake_plan(), path / "inside" / "nothing")


def test_a_plan_has_to_have_the_collections_dimension() -> None:
    database = MemoryDatabase()
    database.store.create("docs", 5)
    facts = open_target(database, "docs").facts
    refuse_mismatched_plan(make_fake_plan(2, 5), facts)
    refuse_mismatched_plan(make_fake_plan(0, 4), facts)
    with pytest.raises(InputError, match='have 4 numbers and those of "docs" 5'):
        refuse_mismatched_plan(make_fake_plan(2, 4), facts)


def test_a_row_that_goes_too_far_is_named() -> None:
    originals = np.eye(3, dtype=np.float32)
    vectors = originals.copy()
    vectors[1] = [np.sin(0.4), np.cos(0.4), 0]
    refuse_excessive_angles(["a", "b", "c"], vectors, originals, 0.4)
    refuse_excessive_angles([], originals[:0], originals[:0], 0.0)
    with pytest.raises(InputError, match=r"point 'b' by 0\.400 radians.*max_angle is 0\.300"):
        refuse_excessive_angles(["a", "b", "c"], vectors, originals, 0.3)
