"""Queries that are left out teach nothing, and the length of documents makes no difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nudge_sync.solve.geometry import unit
from nudge_sync.tuning.adapter_maps import AdapterTask, Strength, learn_maps
from nudge_sync.tuning.adapter_validation import PARTS, cross_validate, score_answers


@pytest.fixture(scope="module")
def task() -> AdapterTask:
    """Queries that lie aside from their documents, each in the same direction."""
    rng = np.random.default_rng(0)
    documents = unit(rng.normal(size=(150, 12))).astype(np.float32)
    answers = rng.integers(0, 150, 400)
    queries = documents[answers] + 0.5 + 0.3 * rng.normal(size=(400, 12))
    relevance = csr_matrix((np.ones(400), (np.arange(400), answers)), shape=(400, 150))
    return AdapterTask(documents, unit(queries).astype(np.float32), relevance, relevance)


def test_equal_queries_are_left_out_together(task):
    """Each of 201 queries is given twice, 201 rows apart: 201 is no multiple of PARTS."""
    strength, rows = Strength(1.0, 1.0), np.tile(np.arange(201), 2)
    fold, doubled = rows % PARTS, task.select(rows)
    plain = cross_validate(doubled, [strength], rows % 20)[strength]
    wrong = doubled.weights.copy()
    wrong.indices = np.where(fold == 2, (wrong.indices + 1) % 150, wrong.indices)
    changed = cross_validate(replace(doubled, weights=wrong), [strength], rows % 20)[strength]
    asked = (fold == 2) & np.isfinite(plain.warm) & np.isfinite(changed.warm)
    assert np.count_nonzero(plain.warm[asked]) > 20
    np.testing.assert_array_equal(plain.warm[asked], changed.warm[asked])


@pytest.mark.parametrize("scale", [2.0**-30, 2.0**20])
def test_dot_documents_times_a_number_teach_the_same_map(task, scale):
    long = task.documents * np.linspace(0.5, 2, len(task.documents), dtype=np.float32)[:, None]
    one, other = (
        replace(task, documents=long * np.float32(factor), similarity="dot")
        for factor in (1.0, scale)
    )
    strength = Strength(1.0, 1.0)
    adapter, same = (learn_maps(each).build_adapter(strength) for each in (one, other))
    assert adapter.matrix.tobytes() == same.matrix.tobytes()
    np.testing.assert_array_equal(
        score_answers(one, None, adapter), score_answers(other, None, same)
    )
