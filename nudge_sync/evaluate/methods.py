"""The methods that are compared, each trained on one split."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32
from nudge_sync.config import MethodName, MetricName
from nudge_sync.evaluate import adaptor
from nudge_sync.evaluate.protocol import QuerySplit
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers
from nudge_sync.tuning.finetune import finetune

EvaluatedMethod: TypeAlias = Literal["nothing", "nudge-m", "nudge-n", "nudge-c", "auto", "adaptor"]
METHODS: tuple[EvaluatedMethod, ...] = get_args(EvaluatedMethod)

METHOD_DESCRIPTIONS: Mapping[EvaluatedMethod, str] = {
    "nothing": "the vectors as they are",
    "nudge-m": "documents moved towards their queries, length not kept (dot product only)",
    "nudge-n": "documents turned towards their queries by at most an angle",
    "nudge-c": "documents turned towards their queries and away from those that others answer",
    "auto": "the simplest of the above that held-out queries do not prefer another to",
    "adaptor": "documents stay; a trained d x d matrix is applied to every query",
}


@dataclass(frozen=True, slots=True)
class TrainedMethod:
    """What a method made of a split."""

    documents: Float32
    """(n, d): what is searched."""
    queries: Float32
    """(q, d): all queries of the task, as they are searched with."""
    moved: RowNumbers
    """Document rows that changed."""
    parameters: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def train_method(
    task: EvaluationTask, split: QuerySplit, method: EvaluatedMethod, metric: MetricName, seed: int
) -> TrainedMethod:
    """The method trained on the split's training queries, chosen by its validation queries."""
    started = time.perf_counter()
    if method == "adaptor":
        trained = _train_adaptor(task, split, metric, seed)
    else:
        trained = move_documents(task, split, method, metric)
    return TrainedMethod(
        trained.documents,
        trained.queries,
        trained.moved,
        trained.parameters,
        time.perf_counter() - started,
    )


def move_documents(
    task: EvaluationTask,
    split: QuerySplit,
    method: MethodName,
    metric: MetricName,
    angle: float | None = None,
) -> TrainedMethod:
    """The documents as `finetune` moves them; by a fixed angle if one is given."""
    fit = finetune(
        task.documents,
        task.queries[split.train],
        task.select_judgements(split.train),
        task.queries[split.validation],
        task.select_judgements(split.validation),
        method=method,
        metric=metric,
        angle=angle,
        similarity=task.similarity,
    )
    parameters = {"method": fit.method, **fit.parameters}
    return TrainedMethod(fit.documents, task.queries, fit.moved, parameters)


def _train_adaptor(
    task: EvaluationTask, split: QuerySplit, metric: MetricName, seed: int
) -> TrainedMethod:
    trained_adaptor = adaptor.train_adaptor(
        task.documents,
        task.queries[split.train],
        task.select_judgements(split.train),
        task.queries[split.validation],
        task.select_judgements(split.validation),
        metric=metric,
        seed=seed,
    )
    queries = trained_adaptor.apply(task.queries)
    return TrainedMethod(
        task.documents, queries, np.array([], dtype=np.intp), trained_adaptor.parameters
    )


def row_angles(before: Float32, after: Float32, rows: RowNumbers) -> NDArray[np.float64]:
    """How far each of `rows` turned, in radians: (rows,).

    From the chord, since an arc cosine of a float32 product cannot tell small angles.
    """
    old, new = (_directions(vectors, rows) for vectors in (before, after))
    chord = np.linalg.norm(new - old, axis=1)
    return np.asarray(2 * np.arcsin(np.clip(chord / 2, 0, 1)), dtype=np.float64)


def _directions(vectors: Float32, rows: RowNumbers) -> NDArray[np.float64]:
    taken = np.asarray(vectors[rows], dtype=np.float64)
    lengths = np.linalg.norm(taken, axis=1, keepdims=True)
    return np.asarray(taken / np.where(lengths > 0, lengths, 1.0))
