"""Pick a method from tuned candidates, and apply it.

Candidates come in order of simplicity: nothing, NUDGE-N, NUDGE-H, NUDGE-M, NUDGE-C. A later one
becomes the leader only if it is ahead of the current leader, query by query, by more than chance
explains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.executor import LOCAL, Executor
from nudge_sync.base.threads import map_in_threads
from nudge_sync.solve.problem import Choice, ColdReport, JudgedQueries, Rows
from nudge_sync.solve.selection.strata import build_strata
from nudge_sync.solve.selection.trials import score_points
from nudge_sync.solve.selection.tune import SIGNIFICANCE_Z, MethodCandidate
from nudge_sync.solve.task import (
    SolverTask,
    ValidationSplit,
    apply_method,
    find_first_equals,
    iterate_validation_queries,
)


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
        # Equal queries count as one, or a query could be dealt its own judgements.
        distinct, number = np.unique(find_first_equals(queries.vectors), return_inverse=True)
        other = np.roll(distinct, len(distinct) // 2)[number]
        swapped = JudgedQueries(queries.vectors, queries.relevance[other], queries.unjudged)
        shuffled.append(score_points(task, task.points, swapped))
    strata = build_strata(task, splits)
    return strata.is_ahead(values, np.concatenate(shuffled), SIGNIFICANCE_Z)


def pick_candidate(candidates: list[MethodCandidate]) -> tuple[MethodCandidate, str]:
    """Return the simplest candidate that no other beats, and a sentence that says so.

    candidates: from simple to complex, doing nothing first.
    """
    baseline, *rest = candidates
    helpful = [
        candidate
        for candidate in rest
        if baseline.strata.is_ahead(candidate.unbiased_values, baseline.values, SIGNIFICANCE_Z)
    ]
    if not helpful:
        return baseline, "no method beats leaving the points alone by more than chance explains"
    counts_cold = bool(baseline.strata.is_cold.any())
    if counts_cold:
        # Of equals the one that harms cold documents least.
        helpful.sort(key=lambda one: -one.strata.average_cold(one.unbiased_values))
    leader = helpful[0]
    for candidate in helpful[1:]:
        leader = candidate if candidate.is_better_than(leader, baseline.values) else leader
    quality = "kindest to cold documents" if counts_cold else "simplest method"
    return leader, f"{leader.method} is the {quality} that no other beats"


def build_choice(
    task: SolverTask,
    candidate: MethodCandidate,
    train: NDArray[np.bool_],
    scores: dict[str, float],
    reasons: list[str],
    cold: ColdReport | None = None,
    executor: Executor = LOCAL,
) -> Choice:
    """Apply the chosen method, trained on the queries `train`, and report the result."""
    if candidate.method == "nothing":
        vectors = task.points
    else:
        settings = (train, candidate.method, candidate.parameters)
        (vectors,) = executor.map(_apply_settings, task, [settings])
    moved, largest_angle = _find_moved_rows(task.points, vectors)
    reasons = [
        *reasons,
        f"{len(moved)} of {len(vectors)} judged points move, at most {largest_angle:.3f} rad",
    ]
    return Choice(vectors, moved, candidate.method, candidate.parameters, scores, reasons, cold)


def _apply_settings(
    task: SolverTask, settings: tuple[NDArray[np.bool_], str, dict[str, Any]]
) -> Float32:
    """Return the points as a method moves them.  settings: training queries, method, parameters."""
    return apply_method(task, *settings)


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
