"""Which method, and how far: decided on held-out queries, then learned again from all of them.

Candidates come in order of simplicity: nothing, NUDGE-N, NUDGE-M, NUDGE-C. A later one is taken
only if it is ahead of the one held so far by more than chance explains, query by query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.threads import map_in_threads
from nudge_sync.solve.line_search.curves import curves
from nudge_sync.solve.line_search.paths import Way, chunks, paths
from nudge_sync.solve.line_search.step_function import Steps, steps
from nudge_sync.solve.nudge_c import Settings, sharpness
from nudge_sync.solve.problem import Choice, Float32, Float64, Queries, Rows
from nudge_sync.solve.relevance import ideal
from nudge_sync.solve.score import metric_values
from nudge_sync.solve.task import Split, Task, judges, solve

CERTAIN = 1.645
"""Standard errors by which a method has to beat doing nothing: one chance in twenty."""
AHEAD = 0.5
"""Standard errors by which a method has to beat a simpler one that helps too."""
FURTHEST_STEP = 2.0
"""Longest step of NUDGE-M that is looked at, in lengths of the point."""
PRIORS = (1.0, 0.3, 3.0)
"""Strengths of the original that NUDGE-C tries, the usual one first."""


@dataclass(frozen=True)
class Candidate:
    """A method with settings, and what it does for each held-out query."""

    method: str
    parameters: dict[str, Any]
    values: Float64
    """(v,): in the order of the splits and of their queries."""
    reason: str = ""
    still: Float64 | None = None
    """(v,): the metric with the points as they are, where it is known."""
    honest: Float64 | None = None
    """(v,): the same where each query had no say in the settings; absent where none had."""

    @property
    def mean(self) -> float:
        """The validation metric."""
        return float(self.values.mean())


def nothing(task: Task, made: list[Split]) -> Candidate:
    """The points as they are."""
    return Candidate("nothing", {}, _measured(task, made, lambda _: task.points))


def _measured(task: Task, made: list[Split], move: Callable[[Split], Float32]) -> Float64:
    values = [_values(task, move(one), queries) for one, queries in judges(task, made)]
    return np.concatenate(values)


def _values(task: Task, vectors: Float32, queries: Queries) -> Float64:
    return metric_values(vectors, queries, str(task.metric), similarity=task.similarity)


def related(task: Task, made: list[Split], values: Float64) -> bool:
    """Whether the points answer the judged queries better than they answer other queries.

    values: (v,), of the points as they are. Judgements that fit no better than shuffled ones come
    from somewhere else (wrong ids, another model's queries, an attack); what could be learned
    from them is only which points are named often.
    """
    shuffled = []
    for _, queries in judges(task, made):
        other = np.roll(np.arange(len(queries)), len(queries) // 2)
        swapped = Queries(queries.vectors, queries.relevance[other], queries.unjudged)
        shuffled.append(_values(task, task.points, swapped))
    return ahead(values, np.concatenate(shuffled), CERTAIN)


def along(task: Task, made: list[Split], way: Way, limit: float) -> Steps:
    """The metric of every held-out query, as a function of the angle."""
    found = []
    for split, held_out in judges(task, made):
        way_of_all = paths(
            task.points,
            task.pulls(split.learn),
            way=way,
            similarity=task.similarity,
            limit=limit,
        )
        rising = curves(way_of_all, held_out, task.metric, limit)
        found.append(steps(rising, ideal(held_out.relevance, task.metric), task.metric, limit))
    return Steps.joined(found)


def nudge_n(task: Task, made: list[Split]) -> Candidate:
    """NUDGE-N at the best angle."""
    whole = along(task, made, "nudge-n", task.max_angle)
    angle, mean = whole.best(task.max_angle)
    reason = (
        f"nudge-n: of all angles up to {task.max_angle:.3f}, {angle:g} gives the highest held-out "
        f"{task.metric} ({mean:.4f})"
    )
    return Candidate(
        "nudge-n",
        {"angle": angle},
        whole.at(angle),
        reason,
        whole.base,
        whole.honest(task.max_angle),
    )


def nudge_m(task: Task, made: list[Split]) -> Candidate:
    """NUDGE-M at the best step."""
    limit = float(np.arctan(FURTHEST_STEP))
    whole = along(task, made, "nudge-m", limit)
    angle, mean = whole.best(limit)
    step = float(np.tan(angle))
    reason = (
        f"nudge-m: of all steps up to {FURTHEST_STEP:g}, {step:.4g} gives the highest held-out "
        f"{task.metric} ({mean:.4f})"
    )
    return Candidate(
        "nudge-m", {"step": step}, whole.at(angle), reason, whole.base, whole.honest(limit)
    )


def nudge_c(task: Task, made: list[Split], cap: float | None = None) -> Candidate:
    """NUDGE-C with the best of a few strengths of the original; the usual one unless beaten."""
    fixed = {
        "sharpness": round(sharpness(task.queries.vectors, task.points, task.similarity), 2),
        "cap": task.max_angle if cap is None else cap,
        "steps": Settings.steps,
    }
    tried = []
    for prior in PRIORS:
        parameters = {**fixed, "prior": prior}
        values = _measured(task, made, _mover(task, "nudge-c", parameters))
        tried.append(Candidate("nudge-c", parameters, values))
    held = tried[0]
    for one in tried[1:]:
        held = one if ahead(one.values, held.values, CERTAIN) else held
    listed = ", ".join(f"{one.parameters['prior']:g}: {one.mean:.4f}" for one in tried)
    reason = f"nudge-c: held-out {task.metric} by strength of the original: {listed}"
    return Candidate("nudge-c", held.parameters, held.values, reason)


def _mover(task: Task, method: str, parameters: Mapping[str, Any]) -> Callable[[Split], Float32]:
    return lambda split: solve(task, split.learn, method, parameters)


def fixed_angle(task: Task, made: list[Split], method: str, angle: float) -> Candidate:
    """A method at a given angle, measured where there is something to measure it on."""
    if method == "nudge-c":
        return nudge_c(task, made, cap=angle) if made else _untried_c(task, angle)
    parameters = {"angle": angle} if method == "nudge-n" else {"step": angle}
    reason = f"{method}: the angle was given"
    if not made:
        return Candidate(method, parameters, np.zeros(0), reason)
    return Candidate(
        method, parameters, _measured(task, made, _mover(task, method, parameters)), reason
    )


def _untried_c(task: Task, angle: float) -> Candidate:
    parameters = {
        "sharpness": round(sharpness(task.queries.vectors, task.points, task.similarity), 2),
        "cap": angle,
        "steps": Settings.steps,
        "prior": PRIORS[0],
    }
    return Candidate("nudge-c", parameters, np.zeros(0), "nudge-c: the angle was given")


def ahead(values: Float64, others: Float64, errors: float) -> bool:
    """Whether the mean of `values` is above by more than `errors` standard errors of the pairs."""
    difference = values - others
    if len(difference) <= 1:
        return False
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return bool(difference.mean() > errors * error and difference.mean() > 0)


def pick(candidates: list[Candidate]) -> tuple[Candidate, str]:
    """The simplest candidate that is not beaten, and a sentence that says so."""
    first, *rest = candidates
    helpful = [one for one in rest if ahead(_unbiased(one), first.values, CERTAIN)]
    if not helpful:
        return first, "no method beats leaving the points alone by more than chance explains"
    held = helpful[0]
    for one in helpful[1:]:
        held = one if ahead(_unbiased(one), _unbiased(held), AHEAD) else held
    return held, f"{held.method} is the simplest method that no other beats"


def _unbiased(one: Candidate) -> Float64:
    return one.values if one.honest is None else one.honest


def choice(
    task: Task,
    held: Candidate,
    learn: NDArray[np.bool_],
    scores: dict[str, float],
    reasons: list[str],
) -> Choice:
    """The chosen method, learned from the queries `learn`."""
    vectors = solve(task, learn, held.method, held.parameters)
    moved, furthest = _travelled(task.points, vectors)
    reasons = [
        *reasons,
        f"{len(moved)} of {len(vectors)} judged points move, at most {furthest:.3f} rad",
    ]
    return Choice(vectors, moved, held.method, held.parameters, scores, reasons)


def _travelled(old: Float32, new: Float32) -> tuple[Rows, float]:
    """The rows that changed, ascending, and the largest angle between a row and its old self."""

    def part(rows: slice) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
        return (old[rows] != new[rows]).any(axis=1), _cosines(old[rows], new[rows])

    found = map_in_threads(part, list(chunks(len(old))))
    moved = np.flatnonzero(np.concatenate([np.empty(0, np.bool_), *(one for one, _ in found)]))
    if not len(moved):
        return moved, 0.0
    furthest = moved[np.concatenate([one for _, one in found])[moved].argmin()]
    one, other = (side[None, furthest].astype(np.float64) for side in (old, new))
    return moved, float(np.arccos(np.clip(_cosines(one, other)[0], -1.0, 1.0)))


def _cosines(rows: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.floating]:
    """(n,): of each row and the other, as well as their type can tell; -1 where it cannot."""
    with np.errstate(over="ignore", invalid="ignore"):
        apart, one, other = (
            np.einsum("ij,ij->i", left, right)
            for left, right in ((rows, others), (rows, rows), (others, others))
        )
        size = np.sqrt(one) * np.sqrt(other)
        usable = (size > 0) & np.isfinite(size) & np.isfinite(apart)
        return np.where(usable, apart / np.where(usable, size, 1.0), -1.0)
