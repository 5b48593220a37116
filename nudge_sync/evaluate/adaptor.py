"""The usual alternative to moving documents, as a baseline: a linear map of the queries.

A d x d matrix W turns a query q into qW, and the documents stay where they are. W starts at the
identity and is trained by InfoNCE (van den Oord et al. 2018), against the answers of the other
queries in the batch and against the documents that the untrained ranking wrongly puts first.
Training uses Adam (Kingma, Ba 2015) with decay towards the identity, and stops early by the
validation queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float32
from nudge_sync.evaluate.score import score_queries
from nudge_sync.evaluate.task import Grades, RowNumbers, scale_to_unit
from nudge_sync.metrics import METRIC_NAMES, MetricName
from nudge_sync.solve.topk import find_top_k

_MIN_BATCH = 32


@dataclass(frozen=True, slots=True)
class AdaptorTraining:
    """How the map is trained."""

    rates: tuple[float, ...] = (5e-4,)
    """Adam's step sizes to try; the best on the validation queries is kept."""
    sharpness: float = 20.0
    """What a cosine is multiplied by in the softmax."""
    decay: float = 1.0
    """How much of the distance to the identity is taken back, per step and unit of rate."""
    batch: int = 256
    """The most queries in a batch."""
    batches: int = 8
    """How many batches few queries are cut into, unless one would hold fewer than 32."""
    negatives: int = 4
    """Wrong documents drawn for each query in each epoch."""
    pool: int = 30
    """How many wrong documents, the first of the untrained ranking, they are drawn from."""
    epochs: int = 60
    patience: int = 5
    """Epochs without a better validation metric before training stops."""


@dataclass(frozen=True, slots=True)
class Adaptor:
    """A trained map of queries."""

    matrix: Float32
    """(d, d), for `queries @ matrix`."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """The rate, the epochs trained, and the validation metric reached."""

    def apply(self, queries: Float32) -> Float32:
        """Return the queries as they are sent to the search: (q, d)."""
        return queries @ self.matrix


@dataclass(frozen=True, slots=True)
class _Examples:
    """The training queries, and what every epoch draws from for each of them."""

    documents: Float32
    queries: Float32
    answers: csr_matrix
    """(q, n): how often each answer is drawn, in proportion; at least one entry a query."""
    negatives: RowNumbers
    """(q, pool): documents without a judgement, best first; -1 where there are fewer."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some training queries, with the documents drawn for each."""

    rows: RowNumbers
    """(b,): the queries' rows."""
    answers: RowNumbers
    """(b,): one document that answers each."""
    negatives: RowNumbers
    """(b, negatives): documents that do not; -1 for none."""


def train_adaptor(
    documents: Float32,
    train_queries: Float32,
    train_judgements: Sequence[Grades],
    validation_queries: Float32,
    validation_judgements: Sequence[Grades],
    *,
    train_weights: Sequence[Grades] | None = None,
    metric: MetricName = "ndcg@10",
    seed: int = 0,
    training: AdaptorTraining | None = None,
) -> Adaptor:
    """Return the map with the best validation metric; the identity where none is better than it.

    documents: (n, d). *_queries: (q, d), any length.
    train_weights: one entry a training query, how strongly each answer attracts; their grades
    where absent. A query that nothing attracts is left out of training.
    The same seed and library versions give the same map.
    """
    training = training or AdaptorTraining()
    column = METRIC_NAMES.index(metric)

    def validate(matrix: Float32) -> float:
        moved = validation_queries @ matrix
        return float(score_queries(documents, moved, validation_judgements)[:, column].mean())

    identity = np.eye(documents.shape[1], dtype=np.float32)
    best = Adaptor(identity, {"rate": 0.0, "epochs": 0, "validation": validate(identity)})
    examples = _build_examples(
        documents, train_queries, train_judgements, train_weights, training.pool
    )
    if not len(examples.queries):
        return best
    for rate in training.rates:
        best = _train_rate(examples, training, best, rate=rate, seed=seed, validate=validate)
    return best


def _build_examples(
    documents: Float32,
    queries: Float32,
    judgements: Sequence[Grades],
    weights: Sequence[Grades] | None,
    pool: int,
) -> _Examples:
    """Return the queries that something attracts, at unit length, with their documents."""
    attraction = [
        [(document, weight) for document, weight in entries.items() if weight > 0]
        for entries in (judgements if weights is None else weights)
    ]
    rows = [row for row, entries in enumerate(attraction) if entries]
    queries, judgements = scale_to_unit(queries[rows]), [judgements[row] for row in rows]
    cells = [(index, *entry) for index, row in enumerate(rows) for entry in attraction[row]]
    index, columns, values = np.array(cells, np.float64).reshape(-1, 3).T
    answers = csr_matrix(
        (values, (index.astype(np.intp), columns.astype(np.intp))),
        shape=(len(queries), len(documents)),
    )
    run = find_top_k(queries, documents, 2 * pool, similarity="dot").rows
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
    """Return the map after the epoch that validates best, or `best` if none is better."""
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
    """Yield batches that hold every query once, in a newly drawn order."""
    order = rng.permutation(len(examples.queries))
    answers = _draw_answers(examples.answers, rng)
    columns = rng.integers(0, training.pool, size=(len(order), training.negatives))
    negatives = np.take_along_axis(examples.negatives, columns, axis=1)
    size = min(training.batch, max(_MIN_BATCH, len(order) // training.batches))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        yield _Batch(rows, answers[rows], negatives[rows])


def _draw_answers(answers: csr_matrix, rng: np.random.Generator) -> RowNumbers:
    """Draw one answer for each query, with a chance in proportion to its entry."""
    cumulative = np.cumsum(answers.data)
    ends = cumulative[answers.indptr[1:] - 1]
    starts = np.concatenate([[0.0], ends[:-1]])
    drawn = starts + rng.random(len(ends)) * (ends - starts)
    # Rounding can put a draw just outside its query's entries.
    entries = np.clip(
        np.searchsorted(cumulative, drawn, "right"), answers.indptr[:-1], answers.indptr[1:] - 1
    )
    return np.asarray(answers.indices[entries], dtype=np.intp)


def _gradient(matrix: Float32, examples: _Examples, batch: _Batch, sharpness: float) -> Float32:
    """Return the gradient by W, (d, d), of the mean of -log softmax(sharpness * cos(qW, answer)).

    The softmax of a query is over its own answer, the answers drawn for the other queries of the
    batch, and all wrong documents drawn.
    """
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
    """Return the softmax of each row; a query's answers other than the drawn one get 0.

    logits: (b, candidates). own: (b,), the column of each drawn answer.
    """
    is_other_answer = answers.toarray() > 0
    is_other_answer[np.arange(len(own)), own] = False
    logits = np.where(is_other_answer, -np.inf, logits)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)


class _Adam:
    """The Adam optimiser on one matrix, with decoupled decay towards where it started."""

    def __init__(self, start: Float32, rate: float, decay: float) -> None:
        self.matrix = start.copy()
        self._start = start
        self._rate, self._decay = rate, decay
        self._mean = np.zeros_like(start)
        self._square = np.zeros_like(start)
        self._steps = 0

    def step(self, gradient: Float32) -> None:
        """Move the matrix once, against the gradient."""
        self._steps += 1
        self._mean += 0.1 * (gradient - self._mean)
        self._square += 0.001 * (gradient * gradient - self._square)
        mean = self._mean / (1 - 0.9**self._steps)
        size = np.sqrt(self._square / (1 - 0.999**self._steps)) + 1e-8
        away = self.matrix - self._start
        self.matrix -= self._rate * (mean / size + self._decay * away)
