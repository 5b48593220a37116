"""The trained baseline learns what a linear map can learn, and does no harm where it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from nudge_sync.evaluate.adaptor import _Batch, _build_examples, _gradient, train_adaptor
from nudge_sync.evaluate.score import score_queries
from nudge_sync.evaluate.task import scale_to_unit

DIMENSION, DOCUMENTS, QUERIES = 16, 300, 600


def make_rotated_task(seed: int = 0, turn: float = 0.7):
    """Queries that ask for their document through a rotation of the whole space."""
    rng = np.random.default_rng(seed)
    documents = scale_to_unit(rng.normal(size=(DOCUMENTS, DIMENSION)))
    rotation = ortho_group.rvs(DIMENSION, random_state=rng)
    answers = rng.integers(0, DOCUMENTS, QUERIES)
    straight = documents[answers] + 0.1 * rng.normal(size=(QUERIES, DIMENSION))
    queries = scale_to_unit((1 - turn) * straight + turn * straight @ rotation)
    return documents, queries, [{int(row): 1.0} for row in answers]


@pytest.fixture(scope="module")
def toy():
    return make_rotated_task()


def train_toy_adaptor(toy, seed: int = 0):
    documents, queries, judgements = toy
    return train_adaptor(
        documents, queries[:400], judgements[:400], queries[400:480], judgements[400:480], seed=seed
    )


def test_it_undoes_a_rotation(toy):
    documents, queries, judgements = toy
    adaptor = train_toy_adaptor(toy)

    before = score_queries(documents, queries[480:], judgements[480:])[:, 0].mean()
    after = score_queries(documents, adaptor.apply(queries[480:]), judgements[480:])[:, 0].mean()

    assert before < 0.5
    assert after > before + 0.2


def test_the_same_seed_gives_the_same_bits(toy):
    np.testing.assert_array_equal(
        train_toy_adaptor(toy, seed=3).matrix, train_toy_adaptor(toy, seed=3).matrix
    )


def test_it_stays_at_the_identity_where_nothing_is_better():
    documents, queries, judgements = make_rotated_task(turn=0.0)
    validation = documents[:50]

    adaptor = train_adaptor(
        documents, queries, judgements, validation, [{row: 1.0} for row in range(50)]
    )

    np.testing.assert_array_equal(adaptor.matrix, np.eye(DIMENSION, dtype=np.float32))
    assert adaptor.parameters["epochs"] == 0


def test_the_gradient_is_that_of_the_loss(toy):
    documents, queries, judgements = toy
    examples = _build_examples(documents, queries, judgements, None, pool=5)
    rows = np.arange(40)
    answers = np.array([next(iter(judgements[row])) for row in rows])
    batch = _Batch(rows, answers, examples.negatives[rows][:, :2])
    candidates = np.unique(np.concatenate([answers, batch.negatives.ravel()]))

    def loss(matrix):
        moved = queries[rows].astype(np.float64) @ matrix
        moved /= np.linalg.norm(moved, axis=1, keepdims=True)
        logits = 5.0 * moved @ documents[candidates].T.astype(np.float64)
        own = np.searchsorted(candidates, answers)
        return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[rows, own])

    start = np.eye(DIMENSION) + 0.1 * np.random.default_rng(0).normal(size=(DIMENSION, DIMENSION))
    gradient = _gradient(start.astype(np.float32), examples, batch, 5.0)
    for row, column in [(0, 0), (3, 7), (15, 2)]:
        step = np.zeros_like(start)
        step[row, column] = 1e-5
        expected = (loss(start + step) - loss(start - step)) / 2e-5
        assert gradient[row, column] == pytest.approx(expected, abs=1e-4)


def test_wrong_documents_never_hold_an_answer(toy):
    documents, queries, judgements = toy

    examples = _build_examples(documents, queries, judgements, None, pool=30)

    for row, grades in enumerate(judgements):
        assert not set(grades) & set(examples.negatives[row].tolist())
