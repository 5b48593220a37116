"""The methods that are compared, and how each is trained on one split of the queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.config import MethodName
from nudge_sync.evaluate import adaptor
from nudge_sync.evaluate.adapters.adapter_task import build_adapter_task
from nudge_sync.evaluate.baselines.baseline import Baseline, choose_baseline
from nudge_sync.evaluate.baselines.nearest_neighbour_normalisation import list_normalised
from nudge_sync.evaluate.baselines.pefa import list_pefa_xl, list_pefa_xs
from nudge_sync.evaluate.baselines.rocchio import list_rocchio
from nudge_sync.evaluate.score import RankDocuments
from nudge_sync.evaluate.split import QuerySplit
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers
from nudge_sync.metrics import MetricName
from nudge_sync.tuning.adapter_learning import learn_query_adapter
from nudge_sync.tuning.finetune import FinetuneOptions, finetune_documents
from nudge_sync.tuning.inputs import QuerySet

EvaluatedMethod: TypeAlias = Literal[
    "nothing",
    "nudge-m",
    "nudge-n",
    "nudge-h",
    "nudge-c",
    "auto",
    "adaptor",
    "query-adapter",
    "auto+query-adapter",
    "pefa-xs",
    "pefa-xl",
    "rocchio",
    "nnn",
]
METHODS: tuple[EvaluatedMethod, ...] = get_args(EvaluatedMethod)
DEFAULT_METHODS: tuple[EvaluatedMethod, ...] = METHODS[: METHODS.index("auto+query-adapter")]
"""What is compared where no method is named; the others cost time, or need more than vectors."""

METHOD_DESCRIPTIONS: Mapping[EvaluatedMethod, str] = {
    "nothing": "the vectors as they are",
    "nudge-m": "documents moved towards their queries, length not kept (dot product only)",
    "nudge-n": "documents turned towards their queries by at most an angle",
    "nudge-h": "as nudge-n, but not nearer to queries that a document does not answer",
    "nudge-c": "documents turned towards their queries and away from those that others answer",
    "auto": "the simplest of the above that held-out queries do not prefer another to",
    "adaptor": "documents stay; a trained d x d matrix is applied to every query",
    "query-adapter": "documents stay; queries go through a map learned in closed form",
    "auto+query-adapter": "documents moved by auto, and a query adapter learned beside it",
    "pefa-xs": "documents mixed with the mean of the queries that they answer",
    "pefa-xl": "scores mixed with those of the nearest logged queries, searched for each time",
    "rocchio": "queries turned towards what answered the nearest logged queries",
    "nnn": "scores less how near a document is to logged queries anyway",
}

BASELINES: Mapping[EvaluatedMethod, Callable[[EvaluationTask, RowNumbers], Iterator[Baseline]]] = {
    "pefa-xs": list_pefa_xs,
    "pefa-xl": list_pefa_xl,
    "rocchio": list_rocchio,
    "nnn": list_normalised,
}
"""Methods of other people, and what lists each with all its settings."""


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
    rank: RankDocuments | None = None
    """How documents are ranked, where that is no dot product of `queries` and `documents`."""


def train_method(
    task: EvaluationTask, split: QuerySplit, method: EvaluatedMethod, metric: MetricName, seed: int
) -> TrainedMethod:
    """Train a method on the training queries; its settings are chosen on the validation queries.

    task: what is tested; the split says where methods learn from other judgements.
    metric: what the settings are chosen by. seed: of the adaptor's draws.
    """
    started, task = time.perf_counter(), split.task or task
    trained = _train(task, split, method, metric, seed)
    return replace(trained, seconds=time.perf_counter() - started)


def _train(
    task: EvaluationTask, split: QuerySplit, method: EvaluatedMethod, metric: MetricName, seed: int
) -> TrainedMethod:
    match method:
        case "adaptor":
            return _train_adaptor(task, split, metric, seed)
        case "query-adapter":
            return _learn_adapter(task, split, metric)
        case "auto+query-adapter":
            return _move_and_adapt(task, split, metric)
        case "pefa-xs" | "pefa-xl" | "rocchio" | "nnn":
            return _train_baseline(task, split, method, metric)
        case _:
            return move_documents(task, split, method, metric)


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


def _learn_adapter(
    task: EvaluationTask,
    split: QuerySplit,
    metric: MetricName,
    live_documents: Float32 | None = None,
) -> TrainedMethod:
    rows = np.concatenate([split.train, split.validation])
    learned = learn_query_adapter(build_adapter_task(task, rows, metric, live_documents))
    strength = learned.strength
    parameters: dict[str, Any] = {"reason": learned.reason}
    if learned.adapter is None or strength is None:
        return TrainedMethod(task.documents, task.queries, np.array([], np.intp), parameters)
    parameters |= {"shrinkage": str(strength.shrinkage), "step": strength.step}
    queries = learned.adapter(task.queries)
    return TrainedMethod(task.documents, queries, np.array([], np.intp), parameters)


def _move_and_adapt(task: EvaluationTask, split: QuerySplit, metric: MetricName) -> TrainedMethod:
    moved = move_documents(task, split, "auto", metric)
    live_documents = moved.documents if len(moved.moved) else None
    adapted = _learn_adapter(task, split, metric, live_documents)
    parameters = {**moved.parameters, "adapter": adapted.parameters}
    return TrainedMethod(moved.documents, adapted.queries, moved.moved, parameters)


def _train_baseline(
    task: EvaluationTask, split: QuerySplit, method: EvaluatedMethod, metric: MetricName
) -> TrainedMethod:
    tried = BASELINES[method](task, split.train)
    chosen = choose_baseline(task, split.validation, metric, tried)
    moved = np.array([], np.intp)
    if method == "pefa-xs":
        moved = np.flatnonzero((chosen.documents != task.documents).any(axis=1))
    return TrainedMethod(chosen.documents, chosen.queries, moved, chosen.settings, rank=chosen.rank)
