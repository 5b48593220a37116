"""Tune the settings of each method on validation queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.solve.line_search.curves import build_curves
from nudge_sync.solve.line_search.paths import PathMethod, PointPulls, build_paths
from nudge_sync.solve.line_search.step_function import StepFunction, build_step_function
from nudge_sync.solve.nudge_c import NudgeCSettings, estimate_sharpness
from nudge_sync.solve.nudge_h import NEIGHBOUR_COUNTS
from nudge_sync.solve.problem import JudgedQueries
from nudge_sync.solve.relevance import ideal_scores
from nudge_sync.solve.score import metric_values
from nudge_sync.solve.selection.strata import Strata, build_strata
from nudge_sync.solve.task import (
    SolverTask,
    ValidationSplit,
    apply_method,
    iterate_validation_queries,
)

SIGNIFICANCE_Z = 1.645
"""Standard errors by which a method has to beat doing nothing: a one-sided test at 5 %."""
PREFERENCE_Z = 0.5
"""Standard errors by which a method has to beat a simpler one that helps too."""
MAX_STEP = 2.0
"""Longest step of NUDGE-M that is tried, in lengths of the point."""
DEFAULT_PRIOR, PRIOR_TRIALS = 1.0, (0.3, 3.0)
"""The usual `prior` of NUDGE-C, and values that have to beat it significantly."""
COLD_ANSWERS_PER_ODDS = 0.35
"""The `cold_answers` of NUDGE-C, per cold_share / (1 - cold_share). Chosen by hand, for the mean of
warm and cold gain at equal shares on four collections."""
MAX_COLD_ANSWERS = 3.0
"""Largest `cold_answers`, where warm answers hardly count."""


@dataclass(frozen=True)
class MethodCandidate:
    """A method with its settings, and the metric of each validation query under it."""

    method: str
    parameters: dict[str, Any]
    values: Float64
    """(v,): the metric of each validation query, split by split; empty if unmeasured."""
    strata: Strata
    """Which values are those of cold answers."""
    reason: str = ""
    baseline_values: Float64 | None = None
    """(v,): the metric with the points as they are; None if it was not computed on the way."""
    cross_validated: Float64 | None = None
    """(v,): the metric of each query at settings that other queries chose; None where the queries
    chose none, so that `values` is unbiased."""

    @property
    def mean(self) -> float:
        """The mean metric over the validation queries, cold answers weighted by their share."""
        return self.strata.average(self.values)

    @property
    def unbiased_values(self) -> Float64:
        """(v,): the metric of each query, at settings that it had no part in choosing."""
        return self.values if self.cross_validated is None else self.cross_validated

    def is_better_than(self, leader: MethodCandidate, baseline_values: Float64) -> bool:
        """Tell whether this candidate is ahead of `leader` by more than chance explains.

        A candidate that costs cold answers more than the leader, and more than doing nothing, has
        to be significantly ahead.  baseline_values: (v,), with the points as they are.
        """
        cold_gain, leader_cold_gain = (
            self.strata.average_cold(one.unbiased_values - baseline_values)
            for one in (self, leader)
        )
        errors = SIGNIFICANCE_Z if cold_gain < min(0.0, leader_cold_gain) else PREFERENCE_Z
        return self.strata.is_ahead(self.unbiased_values, leader.unbiased_values, errors)


def measure_method(
    task: SolverTask, splits: list[ValidationSplit], method: str, parameters: Mapping[str, Any]
) -> MethodCandidate:
    """Measure a method with given settings, trained on the training queries of each split."""
    values = [np.empty(0)]
    for split, validation in iterate_validation_queries(task, splits):
        vectors = apply_method(task, split.train, method, parameters, split.hidden)
        values.append(score_points(task, vectors, validation))
    strata = build_strata(task, splits)
    return MethodCandidate(method, dict(parameters), np.concatenate(values), strata)


def score_points(task: SolverTask, vectors: Float32, queries: JudgedQueries) -> Float64:
    """Return the task's metric of each query, (q,), with the points at `vectors`, (n, d)."""
    return metric_values(vectors, queries, str(task.metric), similarity=task.similarity)


def build_steps(
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


def measure_step_function(
    task: SolverTask, splits: list[ValidationSplit], method: PathMethod, limit: float
) -> StepFunction:
    """Join the step functions of all splits, for NUDGE-N or NUDGE-M up to the angle `limit`."""
    return StepFunction.concatenate(
        [
            build_steps(task, task.get_pulls(split.train, split.hidden), validation, method, limit)
            for split, validation in iterate_validation_queries(task, splits)
        ]
    )


def tune_nudge_n(task: SolverTask, splits: list[ValidationSplit]) -> MethodCandidate:
    """Find the angle of NUDGE-N with the highest mean validation metric."""
    step_function = measure_step_function(task, splits, "nudge-n", task.max_angle)
    angle, candidate = _pick_angle(task, splits, "nudge-n", step_function, task.max_angle)
    reason = (
        f"nudge-n: of all angles up to {task.max_angle:.3f}, {angle:g} gives the highest "
        f"{_describe_metric(task)} ({candidate.mean:.4f})"
    )
    return replace(candidate, parameters={"angle": angle}, reason=reason)


def tune_nudge_h(
    task: SolverTask,
    splits: list[ValidationSplit],
    neighbour_counts: tuple[int, ...] = NEIGHBOUR_COUNTS,
) -> MethodCandidate:
    """Find the number of neighbours and the angle of NUDGE-H with the highest mean metric."""
    steps: dict[int, list[StepFunction]] = {count: [] for count in neighbour_counts}
    for split, validation in iterate_validation_queries(task, splits):
        for count, parts in steps.items():
            pulls = task.get_hub_free_pulls(split.train, split.hidden, count)
            parts.append(build_steps(task, pulls, validation, "nudge-n", task.max_angle))
    tried = []
    for count, parts in steps.items():
        step_function = StepFunction.concatenate(parts)
        angle, candidate = _pick_angle(task, splits, "nudge-h", step_function, task.max_angle)
        tried.append(replace(candidate, parameters={"angle": angle, "neighbours": count}))
    best = max(tried, key=lambda candidate: candidate.mean)
    reason = (
        f"nudge-h: {_describe_metric(task)} by number of neighbours, each at its best angle up to "
        f"{task.max_angle:.3f}: {_list_means(tried, 'neighbours')}"
    )
    return replace(best, reason=reason)


def tune_nudge_m(task: SolverTask, splits: list[ValidationSplit]) -> MethodCandidate:
    """Find the step of NUDGE-M with the highest mean validation metric."""
    limit = float(np.arctan(MAX_STEP))
    step_function = measure_step_function(task, splits, "nudge-m", limit)
    angle, candidate = _pick_angle(task, splits, "nudge-m", step_function, limit)
    step = float(np.tan(angle))
    reason = (
        f"nudge-m: of all steps up to {MAX_STEP:g}, {step:.4g} gives the highest "
        f"{_describe_metric(task)} ({candidate.mean:.4f})"
    )
    return replace(candidate, parameters={"step": step}, reason=reason)


def _pick_angle(
    task: SolverTask,
    splits: list[ValidationSplit],
    method: str,
    step_function: StepFunction,
    limit: float,
) -> tuple[float, MethodCandidate]:
    """Return the best angle of a step function, and the candidate at that angle."""
    strata = build_strata(task, splits)
    weighted = step_function.scale(strata.get_weights())
    angle, _ = weighted.find_best(limit)
    return angle, MethodCandidate(
        method,
        {},
        step_function.evaluate(angle),
        strata,
        baseline_values=step_function.initial,
        cross_validated=step_function.cross_validate(limit, strata.get_weights()),
    )


def tune_nudge_c(
    task: SolverTask, splits: list[ValidationSplit], cap: float | None = None
) -> MethodCandidate:
    """Find the settings of NUDGE-C: the default ones unless another strength of the original wins.

    cap: radians; the task's largest angle if None.
    Where cold answers count, the default ones are measured and no others: with a split for each
    fold of documents, every further strength costs more.
    """
    default = measure_method(task, splits, "nudge-c", build_nudge_c_parameters(task, cap))
    if task.cold_share is not None:
        weight = default.parameters["cold_answers"]
        reason = (
            f"nudge-c: {_describe_metric(task)} {default.mean:.4f}, where an unknown answer "
            f"weighs {weight:g} of a known one"
        )
        return replace(default, reason=reason)
    tried = [default, *_try_settings(task, splits, default, "prior", PRIOR_TRIALS)]
    leader = default
    for candidate in tried[1:]:
        if leader.strata.is_ahead(candidate.values, leader.values, SIGNIFICANCE_Z):
            leader = candidate
    listed = _list_means(tried, "prior")
    reason = f"nudge-c: {_describe_metric(task)} by strength of the original: {listed}"
    return replace(leader, reason=reason)


def _try_settings(
    task: SolverTask,
    splits: list[ValidationSplit],
    default: MethodCandidate,
    name: str,
    values: tuple[float, ...],
) -> list[MethodCandidate]:
    """Measure a candidate with other values of one setting."""
    return [
        measure_method(task, splits, default.method, {**default.parameters, name: value})
        for value in values
    ]


def build_nudge_c_parameters(task: SolverTask, cap: float | None = None) -> dict[str, Any]:
    """Return the default settings of NUDGE-C.  cap: the task's largest angle if None."""
    sharpness = estimate_sharpness(task.queries.vectors, task.points, task.similarity)
    parameters = {
        "sharpness": round(sharpness, 2),
        "cap": task.max_angle if cap is None else cap,
        "steps": NudgeCSettings.iterations,
        "prior": DEFAULT_PRIOR,
    }
    if task.cold_share is not None:
        parameters["cold_answers"] = weigh_cold_answers(task.cold_share)
    return parameters


def weigh_cold_answers(cold_share: float) -> float:
    """Return how much NUDGE-C counts on an unknown answer, per known one.  cold_share: 0 to 1."""
    if cold_share >= 1:
        return MAX_COLD_ANSWERS
    weight = COLD_ANSWERS_PER_ODDS * cold_share / (1 - cold_share)
    return round(min(weight, MAX_COLD_ANSWERS), 3)


def try_fixed_angle(
    task: SolverTask, splits: list[ValidationSplit], method: str, angle: float
) -> MethodCandidate:
    """Measure a method at a given angle: the step of NUDGE-M, the cap of NUDGE-C.

    Without splits the candidate is unmeasured: its values are empty.
    """
    if method == "nudge-c" and splits:
        return tune_nudge_c(task, splits, cap=angle)
    parameters: dict[str, Any] = {"step" if method == "nudge-m" else "angle": angle}
    if method == "nudge-c":
        parameters = build_nudge_c_parameters(task, angle)
    elif method == "nudge-h":
        parameters["neighbours"] = NEIGHBOUR_COUNTS[0]
    candidate = measure_method(task, splits, method, parameters)
    return replace(candidate, reason=f"{method}: the angle was given")


def _describe_metric(task: SolverTask) -> str:
    """Name the mean that the choice maximises."""
    if task.cold_share is None:
        return f"held-out {task.metric}"
    return f"held-out {task.metric} ({task.cold_share:.0%} of it on cold answers)"


def _list_means(tried: list[MethodCandidate], name: str) -> str:
    """List the mean metric of candidates by the value of one setting."""
    return ", ".join(f"{one.parameters[name]:g}: {one.mean:.4f}" for one in tried)
