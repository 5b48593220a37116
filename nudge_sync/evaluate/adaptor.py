"""The usual alternative, as a baseline: a linear map trained on the queries.

A d x d matrix W turns a query q into qW; the documents stay. It starts at the identity and is
trained by InfoNCE (van den Oord et al. 2018) against the answers of the other queries in the batch
and the documents that the plain ranking wrongly puts first, with Adam (Kingma, Ba 2015), decay
towards the identity, and early stopping on validation queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32
from nudge_sync.config import MetricName
from nudge_sync.evaluate.score import EVALUATED_METRICS, score_queries
from nudge_sync.evaluate.task import Grades, RowNumbers, scale_to_unit
from nudge_sync.solve.topk import find_top_k as nearest

_MIN_BATCH = 32


@dataclass(frozen=True, slots=True)
class AdaptorTraining:
    """How the map is trained. Of several rates the best on the validation queries is kept."""

    rates: tuple[float, ...] = (5e-4,)
    """Adam's step sizes to try."""
    sharpness: float = 20.0
    """What a cosine is multiplied by in the softmax."""
    decay: float = 1.0
    """Of the distance to the identity, per step and unit of rate."""
    batch: int = 256
    """At most; few queries are cut into `steps` batches, but none under 32."""
    batches: int = 8
    negatives: int = 4
    """Wrong documents drawn a query and epoch from the first `pool` of its plain ranking."""
    pool: int = 30
    epochs: int = 60
    patience: int = 5
    """Epochs without a better validation metric before training stops."""


@dataclass(frozen=True, slots=True)
class Adaptor:
    """A trained map, and how it came about."""

    matrix: Float32
    """(d, d); queries @ matrix."""
    parameters: dict[str, Any] = field(default_factory=dict)

    def apply(self, queries: Float32) -> Float32:
        """The queries as they are searched with: (q, d)."""
        return queries @ self.matrix


@dataclass(frozen=True, slots=True)
class _Examples:
    """What every epoch draws from."""

    documents: Float32
    queries: Float32
    answers: csr_matrix
    """(q, n): grades above zero."""
    negatives: RowNumbers
    """(q, pool): documents that do not answer, best first; -1 where there are fewer."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Query rows, one drawn answer each, and drawn wrong documents: (b, negatives)."""

    rows: RowNumbers
    answers: RowNumbers
    negatives: RowNumbers


def train_adaptor(
    documents: Float32,
    train_queries: Float32,
    train_judgements: Sequence[Grades],
    validation_queries: Float32,
    validation_judgements: Sequence[Grades],
    *,
    metric: MetricName = "ndcg@10",
    seed: int = 0,
    training: AdaptorTraining | None = None,
) -> Adaptor:
    """The map with the best validation metric; the identity where none is better than it.

    The same seed and library versions give the same map.
    """
    training = training or AdaptorTraining()
    examples = _build_examples(
        documents, scale_to_unit(train_queries), train_judgements, training.pool
    )
    column = EVALUATED_METRICS.index(metric)

    def validate(matrix: Float32) -> float:
        moved = validation_queries @ matrix
        return float(score_queries(documents, moved, validation_judgements)[:, column].mean())

    identity = np.eye(documents.shape[1], dtype=np.float32)
    best = Adaptor(identity, {"rate": 0.0, "epochs": 0, "validation": validate(identity)})
    for rate in training.rates:
        best = _train_rate(examples, training, best, rate=rate, seed=seed, validate=validate)
    return best


def _build_examples(
    documents: Float32, queries: Float32, judgements: Sequence[Grades], pool: int
) -> _Examples:
    pairs = [
        (row, document, grade)
        for row, grades in enumerate(judgements)
        for document, grade in grades.items()
        if grade > 0
    ]
    rows, columns, grades = zip(*pairs, strict=True)
    answers = csr_matrix((grades, (rows, columns)), shape=(len(queries), len(documents)))
    run = nearest(queries, documents, 2 * pool, similarity="dot").rows
    negatives = np.full((len(queries), pool), -1, dtype=np.intp)
    for row, ranked_rows in enumerate(run):
        row_negatives = [
            candidate
            for candidate in ranked_rows
            if candidate >= 0 and candidate not in judgements[row]
        ][:pool]
        negatives[row, : len(row_negatives)] = row_negatives
    return _Examples(documents, queries, answers, negatives)


def _train_rate(
    examples: _Examples,
    training: AdaptorTraining,
    best: Adaptor,
    *,
    rate: float,
    seed: int,
    validate: Callable[[Float32], float],
) -> Adaptor:
    """The map after the epoch with the best validation metric, or `best` if none beats it."""
    rng = np.random.default_rng(seed)
    dimension = examples.documents.shape[1]
    adam = _Adam(np.eye(dimension, dtype=np.float32), rate, training.decay)
    stale = 0
    for epoch in range(1, training.epochs + 1):
        for batch in _draw_epoch(examples, training, rng):
            adam.step(_gradient(adam.matrix, examples, batch, training.sharpness))
        validation = validate(adam.matrix)
        stale += 1
        if validation > best.parameters["validation"]:
            stale = 0
            parameters = {"rate": rate, "epochs": epoch, "validation": validation}
            best = Adaptor(adam.matrix.copy(), parameters)
        if stale > training.patience:
            break
    return best


def _draw_epoch(
    examples: _Examples, training: AdaptorTraining, rng: np.random.Generator
) -> Iterator[_Batch]:
    """Every query once, in another order each time."""
    order = rng.permutation(len(examples.queries))
    answers = _draw_answers(examples.answers, rng)
    columns = rng.integers(0, training.pool, size=(len(order), training.negatives))
    negatives = np.take_along_axis(examples.negatives, columns, axis=1)
    size = min(training.batch, max(_MIN_BATCH, len(order) // training.batches))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        yield _Batch(rows, answers[rows], negatives[rows])


def _draw_answers(answers: csr_matrix, rng: np.random.Generator) -> RowNumbers:
    """One answer of each query, with a chance in proportion to its grade."""
    cumulative = np.cumsum(answers.data)
    ends = cumulative[answers.indptr[1:] - 1]
    starts = np.concatenate([[0.0], ends[:-1]])
    places = np.searchsorted(cumulative, starts + rng.random(len(ends)) * (ends - starts), "right")
    within = np.clip(places, answers.indptr[:-1], answers.indptr[1:] - 1)
    return np.asarray(answers.indices[within], dtype=np.intp)


def _gradient(matrix: Float32, examples: _Examples, batch: _Batch, sharpness: float) -> Float32:
    """Of the mean of -log softmax(sharpness * cos(qW, answer)), by W: (d, d)."""
    candidates = np.unique(np.concatenate([batch.answers, batch.negatives[batch.negatives >= 0]]))
    documents = scale_to_unit(np.asarray(examples.documents[candidates]))
    queries = examples.queries[batch.rows]
    moved = queries @ matrix
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    directions = moved / lengths
    own = np.searchsorted(candidates, batch.answers)
    excess = _softmax(
        sharpness * directions @ documents.T, own, examples.answers[batch.rows][:, candidates]
    )
    excess[np.arange(len(own)), own] -= 1.0
    direction_gradient = (excess @ documents) * np.float32(sharpness / len(own))
    tangent = (
        direction_gradient
        - (direction_gradient * directions).sum(axis=1, keepdims=True) * directions
    ) / lengths
    return np.asarray(queries.T @ tangent, dtype=np.float32)


def _softmax(logits: Float32, own: RowNumbers, answers: csr_matrix) -> Float32:
    """Over each row, its other answers left out: they are no negatives."""
    is_other_answer = answers.toarray() > 0
    is_other_answer[np.arange(len(own)), own] = False
    logits[is_other_answer] = -np.inf
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


class _Adam:
    """Adam on one matrix, with decoupled decay towards where it started."""

    def __init__(self, start: Float32, rate: float, decay: float) -> None:
        self.matrix = start.copy()
        self._start = start
        self._rate, self._decay = rate, decay
        self._mean = np.zeros_like(start)
        self._square = np.zeros_like(start)
        self._steps = 0

    def step(self, gradient: Float32) -> None:
        self._steps += 1
        self._mean += 0.1 * (gradient - self._mean)
        self._square += 0.001 * (gradient * gradient - self._square)
        mean = self._mean / (1 - 0.9**self._steps)
        size = np.sqrt(self._square / (1 - 0.999**self._steps)) + 1e-8
        away = self.matrix - self._start
        self.matrix -= self._rate * (mean / size + self._decay * away)
