"""One method on one split: the unit of work of a choice, independent of all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.solve.line_search.curves import build_curves
from nudge_sync.solve.line_search.paths import PathMethod, PointPulls, build_paths
from nudge_sync.solve.line_search.step_function import StepFunction, build_step_function
from nudge_sync.solve.problem import JudgedQueries
from nudge_sync.solve.relevance import ideal_scores
from nudge_sync.solve.score import metric_values
from nudge_sync.solve.task import SolverTask, ValidationSplit, apply_method


@dataclass(frozen=True, slots=True)
class SplitTrial:
    """A method with given settings on one split, or at every angle up to a limit."""

    method: str
    parameters: Mapping[str, Any]
    split: ValidationSplit
    limit: float | None = None
    """Radians; None for the settings alone."""


def run_trial(task: SolverTask, trial: SplitTrial) -> StepFunction:
    """Return the metric of each validation query by the angle; constant where settings were given.

    The method is trained on the training queries of the split.
    """
    split, validation = trial.split, task.get_validation(trial.split)
    if trial.limit is None:
        vectors = apply_method(task, split.train, trial.method, trial.parameters, split.hidden)
        return StepFunction.constant(score_points(task, vectors, validation))
    if trial.method == "nudge-h":
        neighbours = trial.parameters["neighbours"]
        pulls = task.get_hub_free_pulls(split.train, split.hidden, neighbours)
        return _build_steps(task, pulls, validation, "nudge-n", trial.limit)
    method: PathMethod = "nudge-m" if trial.method == "nudge-m" else "nudge-n"
    pulls = task.get_pulls(split.train, split.hidden)
    return _build_steps(task, pulls, validation, method, trial.limit)


def score_points(task: SolverTask, vectors: Float32, queries: JudgedQueries) -> Float64:
    """Return the task's metric of each query, (q,), with the points at `vectors`, (n, d)."""
    return metric_values(vectors, queries, str(task.metric), similarity=task.similarity)


def _build_steps(
    task: SolverTask,
    pulls: PointPulls,
    validation: JudgedQueries,
    method: PathMethod,
    limit: float,
) -> StepFunction:
    """Compute each validation query's metric as an exact function of the angle, 0 to `limit`."""
    point_paths = build_paths(
        task.points, pulls, method=method, similarity=task.similarity, limit=limit
    )
    score_curves = build_curves(point_paths, validation, task.metric, limit)
    ideal = ideal_scores(validation.relevance, task.metric)
    return build_step_function(score_curves, ideal, task.metric, limit)
