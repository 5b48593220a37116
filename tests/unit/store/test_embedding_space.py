"""The fingerprint of an embedding space: small, stable, and checked when it is read."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from nudge_sync.errors import DamagedRecord, LeaseLost
from nudge_sync.store import checksum
from nudge_sync.store.embedding_space import (
    SAMPLE_SIZE,
    SPACE_KEY,
    EmbeddingSpace,
    choose_sample,
    cosines,
    read_space,
    sample_points,
    sketch_vectors,
    store_space,
)
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.upkeep.integrity import find_damaged_records
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore
from tests.support.unit_vectors import normalise_rows

DIMENSION = 384


@pytest.fixture
def target() -> Target:
    store = MemoryStore()
    store.create("docs", DIMENSION, "cosine")
    return open_target(MemoryDatabase(store), "docs")


def make_vectors(count: int, seed: int = 0) -> np.ndarray:
    return normalise_rows(np.random.default_rng(seed).normal(size=(count, DIMENSION)))


def test_a_stored_space_is_read_back(target: Target):
    space = EmbeddingSpace(2, 5, 3, sample_points(["a", 7], make_vectors(2)))
    store_space(target, read_space(target), space)
    assert read_space(target) == replace(space, generation=1)


def test_storing_what_is_stored_writes_nothing(target: Target):
    space = EmbeddingSpace(sample=sample_points([1], make_vectors(1)))
    store_space(target, read_space(target), space)
    stored = read_space(target)
    store_space(target, stored, stored)
    assert read_space(target).generation == 1


def test_a_change_by_somebody_else_is_not_overwritten(target: Target):
    space = EmbeddingSpace(sample=sample_points([1], make_vectors(1)))
    store_space(target, EmbeddingSpace(), space)
    with pytest.raises(LeaseLost, match="by another process"):
        store_space(target, EmbeddingSpace(), replace(space, number=2))


def test_the_record_fits_into_a_field_of_any_database(target: Target):
    ids = [f"{row:0200d}" for row in range(SAMPLE_SIZE)]
    space = EmbeddingSpace(sample=sample_points(ids, make_vectors(SAMPLE_SIZE)))
    store_space(target, EmbeddingSpace(), space)
    [record] = target.ledger_records.get([SPACE_KEY])
    assert len(json.dumps(record.document)) < 60_000


def test_the_sample_hardly_changes_with_the_points():
    before = choose_sample(range(1000), SAMPLE_SIZE)
    after = choose_sample(range(20, 1020), SAMPLE_SIZE)
    assert before == choose_sample(reversed(range(1000)), SAMPLE_SIZE)
    assert len({*before} & {*after}) > 0.8 * SAMPLE_SIZE
    assert choose_sample(["x" * 201, "y"], SAMPLE_SIZE) == ["y"]


@pytest.mark.parametrize("cosine", [0.0, 0.5, 0.95])
def test_sketches_tell_the_median_cosine(cosine: float):
    vectors, others = make_vectors(SAMPLE_SIZE), make_vectors(SAMPLE_SIZE, 1)
    turned = normalise_rows(cosine * vectors + np.sqrt(1 - cosine**2) * others)
    estimates = cosines(sketch_vectors(vectors), sketch_vectors(turned))
    assert np.median(estimates) == pytest.approx(cosine, abs=0.12)


@pytest.mark.parametrize("content", [None, [], {"number": -1}, {"sample": [{"id": 1}]}, {"x": 1}])
def test_nonsense_is_named_as_damaged(target: Target, content: object):
    record = checksum.add_checksum(SPACE_KEY, {"kind": "space", "generation": 1, "space": content})
    target.ledger_records.put([record])
    with pytest.raises(DamagedRecord, match="space"):
        read_space(target)
    assert any("'space'" in name for name in find_damaged_records(target))
