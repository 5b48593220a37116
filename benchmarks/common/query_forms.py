"""Other maps of queries than the product's, each with its settings chosen on validation queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np

from nudge_sync.evaluate.adapters.adapter_task import build_adapter_task
from nudge_sync.evaluate.methods import TrainedMethod
from nudge_sync.evaluate.score import score_queries
from nudge_sync.evaluate.split import QuerySplit
from nudge_sync.evaluate.task import EvaluationTask
from nudge_sync.metrics import METRIC_NAMES
from nudge_sync.tuning.adapter_learning import SHRINKAGES, STEPS
from nudge_sync.tuning.adapter_maps import compute_residuals

RANKS = (8, 32, 128)
NEAREST = (0.3, 0.5, 0.7)
"""Cosines to the nearest training query at which the gate of `gated` opens."""
QueryMap = Callable[[np.ndarray], np.ndarray]


def train_form(task: EvaluationTask, split: QuerySplit, form: str) -> TrainedMethod:
    """Return the map of this form with the best NDCG@10 on the validation queries, or none."""
    learning = build_adapter_task(task, split.train, "ndcg@10")
    queries = learning.queries.astype(np.float64)
    column, judgements = METRIC_NAMES.index("ndcg@10"), task.select_judgements(split.validation)

    def validate(mapped: np.ndarray) -> float:
        scores = score_queries(task.documents, mapped[split.validation], judgements)
        return float(scores[:, column].mean())

    best, best_queries = validate(task.queries), task.queries
    for query_map in FORMS[form](learning, queries):
        mapped = map_unit(task.queries, query_map)
        value = validate(mapped)
        if value > best:
            best, best_queries = value, mapped
    return TrainedMethod(task.documents, best_queries, np.array([], np.intp))


def map_unit(queries: np.ndarray, query_map: QueryMap) -> np.ndarray:
    moved = queries + query_map(queries.astype(np.float64))
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)


def fit_ridge(queries: np.ndarray, targets: np.ndarray, shrinkage: float):
    """Return mean, shift and slope, so that a query's target is shift + (q - mean) slope."""
    mean, shift = queries.mean(axis=0), targets.mean(axis=0)
    if np.isinf(shrinkage):
        return mean, shift, np.zeros((queries.shape[1], queries.shape[1]))
    centred = queries - mean
    gram = centred.T @ centred
    ridge = shrinkage * np.trace(gram) / len(gram) * np.eye(len(gram))
    return mean, shift, np.linalg.solve(gram + ridge, centred.T @ (targets - shift))


def add_shift(rows: np.ndarray, step: float, shift: np.ndarray) -> np.ndarray:
    return np.broadcast_to(step * shift, rows.shape)


def add_ridge(rows: np.ndarray, step: float, mean, shift, slope) -> np.ndarray:
    return step * (shift + (rows - mean) @ slope)


def add_gated_ridge(rows: np.ndarray, step: float, ridge, queries, opens: float) -> np.ndarray:
    """The ridge, taken back to nothing where the nearest of `queries` has a cosine of `opens`."""
    nearest = (rows @ queries.T).max(axis=1, keepdims=True)
    return np.clip((nearest - opens) / (1 - opens), 0, 1) * add_ridge(rows, step, *ridge)


def list_shifts(learning, queries: np.ndarray) -> Iterator[QueryMap]:
    """The mean offset between queries and their answers."""
    shift = (mean_answers(learning) - queries).mean(axis=0)
    for step in STEPS:
        yield partial(add_shift, step=step, shift=shift)


def list_ridges_to_answers(learning, queries: np.ndarray) -> Iterator[QueryMap]:
    """Ridge regression of the answers, shrunk to the identity: no document is turned away from."""
    yield from list_ridge_maps(queries, mean_answers(learning) - queries)


def list_ridges(learning, queries: np.ndarray) -> Iterator[QueryMap]:
    """The product's form; what differs is that validation queries choose its strength."""
    yield from list_ridge_maps(queries, compute_residuals(learning))


def list_ridge_maps(queries: np.ndarray, targets: np.ndarray) -> Iterator[QueryMap]:
    for shrinkage in SHRINKAGES:
        mean, shift, slope = fit_ridge(queries, targets, shrinkage)
        for step in STEPS:
            yield partial(add_ridge, step=step, mean=mean, shift=shift, slope=slope)


def list_low_ranks(learning, queries: np.ndarray) -> Iterator[QueryMap]:
    """The product's form with its slope cut to the first singular directions."""
    residuals = compute_residuals(learning)
    for shrinkage in SHRINKAGES[:-1]:
        mean, shift, slope = fit_ridge(queries, residuals, shrinkage)
        left, values, right = np.linalg.svd(slope)
        for rank, step in product(RANKS, STEPS):
            cut = (left[:, :rank] * values[:rank]) @ right[:rank]
            yield partial(add_ridge, step=step, mean=mean, shift=shift, slope=cut)


def list_gated(learning, queries: np.ndarray) -> Iterator[QueryMap]:
    """The product's form, taken back with the distance to the nearest training query."""
    residuals = compute_residuals(learning)
    for shrinkage in SHRINKAGES[:-1]:
        ridge = fit_ridge(queries, residuals, shrinkage)
        for opens, step in product(NEAREST, STEPS):
            yield partial(add_gated_ridge, step=step, ridge=ridge, queries=queries, opens=opens)


def mean_answers(learning) -> np.ndarray:
    """Return the weighted mean of each query's answers, (q, d)."""
    totals = np.asarray(learning.weights.sum(axis=1))
    return np.asarray(learning.weights @ learning.documents) / totals


FORMS: dict[str, Callable[..., Iterator[QueryMap]]] = {
    "shift": list_shifts,
    "ridge to answers": list_ridges_to_answers,
    "ridge": list_ridges,
    "low rank": list_low_ranks,
    "gated": list_gated,
}
