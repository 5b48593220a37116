"""Tune each method on validation queries, and pick one of them.

Candidates come in order of simplicity: nothing, NUDGE-N, NUDGE-M, NUDGE-C. A later one becomes the
leader only if it is ahead of the current leader, query by query, by more than chance explains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import map_in_threads
from nudge_sync.solve.line_search.curves import build_curves
from nudge_sync.solve.line_search.paths import PathMethod, build_paths
from nudge_sync.solve.line_search.step_function import StepFunction, build_step_function
from nudge_sync.solve.nudge_c import NudgeCSettings, estimate_sharpness
from nudge_sync.solve.problem import Choice, JudgedQueries, Rows
from nudge_sync.solve.relevance import ideal_scores
from nudge_sync.solve.score import metric_values
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
PRIOR_STRENGTHS = (1.0, 0.3, 3.0)
"""Values of `prior` that NUDGE-C tries, the default first."""


@dataclass(frozen=True)
class MethodCandidate:
    """A method with its settings, and the metric of each validation query under it."""

    method: str
    parameters: dict[str, Any]
    values: Float64
    """(v,): the metric of each validation query, split by split; empty if unmeasured."""
    reason: str = ""
    baseline_values: Float64 | None = None
    """(v,): the metric with the points as they are; None if it was not computed on the way."""
    cross_validated: Float64 | None = None
    """(v,): the metric of each query at settings that other queries chose; None where the queries
    chose none, so that `values` is unbiased."""

    @property
    def mean(self) -> float:
        """The mean metric over the validation queries."""
        return float(self.values.mean())


def measure_baseline(task: SolverTask, splits: list[ValidationSplit]) -> MethodCandidate:
    """Measure the validation queries with the points as they are."""
    return MethodCandidate("nothing", {}, _measure(task, splits, lambda _: task.points))


def _measure(
    task: SolverTask, splits: list[ValidationSplit], move: Callable[[ValidationSplit], Float32]
) -> Float64:
    """Return the metric of each validation query, (v,), with the points that `move` returns."""
    values = [
        _score(task, move(split), validation)
        for split, validation in iterate_validation_queries(task, splits)
    ]
    return np.concatenate(values)


def _score(task: SolverTask, vectors: Float32, queries: JudgedQueries) -> Float64:
    return metric_values(vectors, queries, str(task.metric), similarity=task.similarity)


def is_better_than_shuffled(
    task: SolverTask, splits: list[ValidationSplit], values: Float64
) -> bool:
    """Tell whether the points as they are answer queries better than queries dealt out anew.

    values: (v,), the metric of the points as they are.
    Judgements that fit no better than shuffled ones come from somewhere else (wrong ids, another
    model's queries, an attack): all that they could teach is which points are named often.
    """
    shuffled = []
    for _, queries in iterate_validation_queries(task, splits):
        other = np.roll(np.arange(len(queries)), len(queries) // 2)
        swapped = JudgedQueries(queries.vectors, queries.relevance[other], queries.unjudged)
        shuffled.append(_score(task, task.points, swapped))
    return is_ahead(values, np.concatenate(shuffled), SIGNIFICANCE_Z)


def measure_step_function(
    task: SolverTask, splits: list[ValidationSplit], method: PathMethod, limit: float
) -> StepFunction:
    """Compute each validation query's metric as an exact function of the angle, 0 to `limit`."""
    step_functions = []
    for split, validation in iterate_validation_queries(task, splits):
        point_paths = build_paths(
            task.points,
            task.get_pulls(split.train),
            method=method,
            similarity=task.similarity,
            limit=limit,
        )
        score_curves = build_curves(point_paths, validation, task.metric, limit)
        step_functions.append(
            build_step_function(
                score_curves, ideal_scores(validation.relevance, task.metric), task.metric, limit
            )
        )
    return StepFunction.concatenate(step_functions)


def tune_nudge_n(task: SolverTask, splits: list[ValidationSplit]) -> MethodCandidate:
    """Find the angle of NUDGE-N with the highest mean validation metric."""
    step_function = measure_step_function(task, splits, "nudge-n", task.max_angle)
    angle, mean = step_function.find_best(task.max_angle)
    reason = (
        f"nudge-n: of all angles up to {task.max_angle:.3f}, {angle:g} gives the highest held-out "
        f"{task.metric} ({mean:.4f})"
    )
    return MethodCandidate(
        "nudge-n",
        {"angle": angle},
        step_function.evaluate(angle),
        reason,
        step_function.initial,
        step_function.cross_validate(task.max_angle),
    )


def tune_nudge_m(task: SolverTask, splits: list[ValidationSplit]) -> MethodCandidate:
    """Find the step of NUDGE-M with the highest mean validation metric."""
    limit = float(np.arctan(MAX_STEP))
    step_function = measure_step_function(task, splits, "nudge-m", limit)
    angle, mean = step_function.find_best(limit)
    step = float(np.tan(angle))
    reason = (
        f"nudge-m: of all steps up to {MAX_STEP:g}, {step:.4g} gives the highest held-out "
        f"{task.metric} ({mean:.4f})"
    )
    return MethodCandidate(
        "nudge-m",
        {"step": step},
        step_function.evaluate(angle),
        reason,
        step_function.initial,
        step_function.cross_validate(limit),
    )


def tune_nudge_c(
    task: SolverTask, splits: list[ValidationSplit], cap: float | None = None
) -> MethodCandidate:
    """Find the strength of the original for NUDGE-C: the default one unless another beats it.

    cap: radians; the task's largest angle if None.
    """
    default_parameters = _build_nudge_c_parameters(task, task.max_angle if cap is None else cap)
    candidates = []
    for prior in PRIOR_STRENGTHS:
        parameters = {**default_parameters, "prior": prior}
        values = _measure(task, splits, _make_mover(task, "nudge-c", parameters))
        candidates.append(MethodCandidate("nudge-c", parameters, values))
    leader = candidates[0]
    for candidate in candidates[1:]:
        leader = candidate if is_ahead(candidate.values, leader.values, SIGNIFICANCE_Z) else leader
    listed = ", ".join(
        f"{candidate.parameters['prior']:g}: {candidate.mean:.4f}" for candidate in candidates
    )
    reason = f"nudge-c: held-out {task.metric} by strength of the original: {listed}"
    return MethodCandidate("nudge-c", leader.parameters, leader.values, reason)


def _build_nudge_c_parameters(task: SolverTask, cap: float) -> dict[str, Any]:
    """Return the settings of NUDGE-C that are not tuned, and the default prior."""
    sharpness = estimate_sharpness(task.queries.vectors, task.points, task.similarity)
    return {
        "sharpness": round(sharpness, 2),
        "cap": cap,
        "steps": NudgeCSettings.iterations,
        "prior": PRIOR_STRENGTHS[0],
    }


def _make_mover(
    task: SolverTask, method: str, parameters: Mapping[str, Any]
) -> Callable[[ValidationSplit], Float32]:
    """Return a function that applies `method`, trained on the training queries of a split."""
    return lambda split: apply_method(task, split.train, method, parameters)


def try_fixed_angle(
    task: SolverTask, splits: list[ValidationSplit], method: str, angle: float
) -> MethodCandidate:
    """Measure a method at a given angle: the step of NUDGE-M, the cap of NUDGE-C.

    Without splits the candidate is unmeasured: its values are empty.
    """
    if method == "nudge-c" and splits:
        return tune_nudge_c(task, splits, cap=angle)
    if method == "nudge-c":
        parameters = _build_nudge_c_parameters(task, angle)
    else:
        parameters = {"step" if method == "nudge-m" else "angle": angle}
    reason = f"{method}: the angle was given"
    if not splits:
        return MethodCandidate(method, parameters, np.zeros(0), reason)
    return MethodCandidate(
        method, parameters, _measure(task, splits, _make_mover(task, method, parameters)), reason
    )


def is_ahead(values: Float64, others: Float64, errors: float) -> bool:
    """Tell whether `values` beat `others` by more than `errors` standard errors of the mean.

    values, others: (v,), of the same queries; the standard error is that of their differences.
    """
    difference = values - others
    if len(difference) <= 1:
        return False
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return bool(difference.mean() > errors * error and difference.mean() > 0)


def pick_candidate(candidates: list[MethodCandidate]) -> tuple[MethodCandidate, str]:
    """Return the simplest candidate that no other beats, and a sentence that says so.

    candidates: from simple to complex, doing nothing first.
    """
    baseline, *rest = candidates
    helpful = [
        candidate
        for candidate in rest
        if is_ahead(_unbiased_values(candidate), baseline.values, SIGNIFICANCE_Z)
    ]
    if not helpful:
        return baseline, "no method beats leaving the points alone by more than chance explains"
    leader = helpful[0]
    for candidate in helpful[1:]:
        leader = (
            candidate
            if is_ahead(_unbiased_values(candidate), _unbiased_values(leader), PREFERENCE_Z)
            else leader
        )
    return leader, f"{leader.method} is the simplest method that no other beats"


def _unbiased_values(candidate: MethodCandidate) -> Float64:
    """Return the metric of each query, at settings that it had no part in choosing."""
    return candidate.values if candidate.cross_validated is None else candidate.cross_validated


def build_choice(
    task: SolverTask,
    candidate: MethodCandidate,
    train: NDArray[np.bool_],
    scores: dict[str, float],
    reasons: list[str],
) -> Choice:
    """Apply the chosen method, trained on the queries `train`, and report the result."""
    vectors = apply_method(task, train, candidate.method, candidate.parameters)
    moved, largest_angle = _find_moved_rows(task.points, vectors)
    reasons = [
        *reasons,
        f"{len(moved)} of {len(vectors)} judged points move, at most {largest_angle:.3f} rad",
    ]
    return Choice(vectors, moved, candidate.method, candidate.parameters, scores, reasons)


def _find_moved_rows(old: Float32, new: Float32) -> tuple[Rows, float]:
    """Return the rows that changed, ascending, and the largest angle that one of them moved."""

    def compare(rows: slice) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
        return (old[rows] != new[rows]).any(axis=1), _cosines(old[rows], new[rows])

    comparisons = map_in_threads(compare, list_chunks(len(old)))
    moved = np.flatnonzero(
        np.concatenate([np.empty(0, np.bool_), *(one for one, _ in comparisons)])
    )
    if not len(moved):
        return moved, 0.0
    farthest_row = moved[np.concatenate([one for _, one in comparisons])[moved].argmin()]
    one, other = (side[None, farthest_row].astype(np.float64) for side in (old, new))
    return moved, float(np.arccos(np.clip(_cosines(one, other)[0], -1.0, 1.0)))


def _cosines(rows: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the cosine of each row and its other: (n,); -1 where their type cannot hold it."""
    with np.errstate(over="ignore", invalid="ignore"):
        products, row_squares, other_squares = (
            np.einsum("ij,ij->i", left, right)
            for left, right in ((rows, others), (rows, rows), (others, others))
        )
        norms = np.sqrt(row_squares) * np.sqrt(other_squares)
        usable = (norms > 0) & np.isfinite(norms) & np.isfinite(products)
        return np.where(usable, products / np.where(usable, norms, 1.0), -1.0)
