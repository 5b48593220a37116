"""The methods that are compared, and how each is trained on one split of the queries."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.config import MethodName
from nudge_sync.evaluate import adaptor
from nudge_sync.evaluate.split import QuerySplit
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers
from nudge_sync.metrics import MetricName
from nudge_sync.tuning.finetune import FinetuneOptions, finetune_documents
from nudge_sync.tuning.inputs import QuerySet

EvaluatedMethod: TypeAlias = Literal[
    "nothing", "nudge-m", "nudge-n", "nudge-h", "nudge-c", "auto", "adaptor"
]
METHODS: tuple[EvaluatedMethod, ...] = get_args(EvaluatedMethod)

METHOD_DESCRIPTIONS: Mapping[EvaluatedMethod, str] = {
    "nothing": "the vectors as they are",
    "nudge-m": "documents moved towards their queries, length not kept (dot product only)",
    "nudge-n": "documents turned towards their queries by at most an angle",
    "nudge-h": "as nudge-n, but not nearer to queries that a document does not answer",
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
    """(q, d): all queries of the task, as they are sent to the search."""
    moved: RowNumbers
    """The document rows that changed."""
    parameters: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def train_method(
    task: EvaluationTask, split: QuerySplit, method: EvaluatedMethod, metric: MetricName, seed: int
) -> TrainedMethod:
    """Train a method on the training queries; its settings are chosen on the validation queries.

    task: what is tested; the split says where methods learn from other judgements.
    metric: what the settings are chosen by. seed: of the adaptor's draws.
    """
    started, task = time.perf_counter(), split.task or task
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
    """Move the documents as `finetune` does; by a fixed angle, in radians, if one is given."""
    task = split.task or task
    fit = finetune_documents(
        task.documents,
        _select_queries(task, split.train),
        _select_queries(task, split.validation),
        FinetuneOptions(method, metric, angle, task.similarity, cold_share=task.cold_share),
    )
    parameters = {"method": fit.method, **fit.parameters}
    return TrainedMethod(fit.documents, task.queries, fit.moved, parameters)


def _select_queries(task: EvaluationTask, rows: RowNumbers) -> QuerySet:
    return QuerySet(task.queries[rows], task.select_judgements(rows), task.select_weights(rows))


def _train_adaptor(
    task: EvaluationTask, split: QuerySplit, metric: MetricName, seed: int
) -> TrainedMethod:
    trained_adaptor = adaptor.train_adaptor(
        task.documents,
        task.queries[split.train],
        task.select_judgements(split.train),
        task.queries[split.validation],
        task.select_judgements(split.validation),
        train_weights=task.select_weights(split.train),
        metric=metric,
        seed=seed,
    )
    queries = trained_adaptor.apply(task.queries)
    return TrainedMethod(
        task.documents, queries, np.array([], dtype=np.intp), trained_adaptor.parameters
    )
