"""The entry of the solver: compare methods on validation queries, then fit the chosen one."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync import metrics
from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.executor import LOCAL, Executor
from nudge_sync.base.threads import limit_threads
from nudge_sync.errors import InputError
from nudge_sync.solve.nudge_h import NEIGHBOUR_COUNTS
from nudge_sync.solve.problem import (
    MAX_GIVEN_ANGLE,
    Choice,
    ColdReport,
    JudgedQueries,
    Method,
    Similarity,
    check_finite,
    check_judged_queries,
    check_options,
)
from nudge_sync.solve.relevance import has_answer
from nudge_sync.solve.selection import choose, tune
from nudge_sync.solve.selection.document_folds import hide_documents
from nudge_sync.solve.selection.strata import report_cold
from nudge_sync.solve.task import (
    SolverTask,
    ValidationSplit,
    build_attraction,
    build_rejection,
    build_splits,
    merge_judgements,
)

DEFAULT_MAX_ANGLE = float(np.pi / 3)
"""Largest angle, in radians, that a point may turn where the angle is chosen."""
MAX_GIVEN_STEP = 1000.0
"""Longest step of NUDGE-M that may be given, in lengths of the point."""


def fit(
    points: Float32,
    queries: JudgedQueries,
    buckets: NDArray[np.int64],
    *,
    method: Method = "auto",
    metric: str = "ndcg@10",
    similarity: Similarity = "cosine",
    angle: float | None = None,
    max_angle: float = DEFAULT_MAX_ANGLE,
    weights: csr_matrix | NDArray[Any] | None = None,
    cold_share: float | None = None,
    threads: int = 0,
    executor: Executor = LOCAL,
) -> Choice:
    """Choose a method on validation queries, then fit it to all queries.

    points: (n, d), as stored; only nudge-m changes a row's length.
    buckets: (q,), 0 to 9, a hash of each query, by which queries are split.
    weights: the weight of each query, (q,), or judgement, (q, n); 1 if None. Entries of
    `queries.relevance` above 0 attract, explicit entries of 0 or below push away (nudge-c only).
    angle: radians, given instead of chosen: the rotation of nudge-n, the cap of nudge-c, the step
    of nudge-m.  threads: at most so many; 0 for one per core.
    cold_share: weight, 0 to 1, of answers without feedback in the choice of method and settings;
    None to leave them out (`document_folds`). Queries without judgements serve nudge-h.
    executor: runs the methods on the splits, and the fit; it keeps to `threads` by itself.
    Equal input gives equal bits on one machine. Raises InputError.
    """
    check_options(method, similarity, max_angle)
    queries = merge_judgements(queries)
    check_finite(points, queries.vectors)
    task = build_task(points, queries, weights, metric, similarity, max_angle, cold_share)
    all_queries = np.ones(len(queries), np.bool_)
    with limit_threads(threads):
        return choose_and_fit(
            task, build_splits(buckets, queries.relevance), all_queries, method, angle, executor
        )


def build_task(
    points: Float32,
    queries: JudgedQueries,
    weights: csr_matrix | NDArray[Any] | None,
    metric: str,
    similarity: Similarity,
    max_angle: float,
    cold_share: float | None = None,
) -> SolverTask:
    """Check shapes, judgements and weights, and build what every method reads.

    points and the query vectors have to be finite (`check_finite`). Raises InputError.
    """
    parsed_metric = metrics.parse_metric(metric)
    check_judged_queries(points, queries, parsed_metric.depth)
    attraction, rejection = (
        build_attraction(queries.relevance, weights),
        build_rejection(queries.relevance),
    )
    if cold_share is not None and not (isinstance(cold_share, Real) and 0 <= cold_share <= 1):
        raise InputError(f"cold_share is {cold_share}; it is a share of answers, 0 to 1")
    return SolverTask(
        points, queries, attraction, rejection, parsed_metric, similarity, max_angle, cold_share
    )


def choose_and_fit(
    task: SolverTask,
    splits: list[ValidationSplit],
    train: NDArray[np.bool_],
    method: Method,
    angle: float | None,
    executor: Executor = LOCAL,
) -> Choice:
    """Tune `method` (for "auto": all methods) on the splits, then fit it to the queries `train`.

    train: a mask, (q,).  angle: radians, given instead of chosen. Raises InputError.
    """
    limit = MAX_GIVEN_STEP if method == "nudge-m" else MAX_GIVEN_ANGLE
    if angle is not None and not (isinstance(angle, Real) and 0 <= angle <= limit):
        raise InputError(
            f"the angle {angle!r} is outside 0 to pi/2 (for nudge-m: a step, 0 to 1000)"
        )
    if method == "nudge-m" and task.similarity == "cosine":
        raise InputError(
            "nudge-m changes lengths, which cosine undoes; use nudge-n, nudge-c or auto"
        )
    if not splits and (angle is None or method in {"auto", "nothing"}):
        return _choose_baseline(
            task, train, {}, ["too few queries with an answer to hold some out"]
        )
    if method == "auto":
        return _choose_method(task, splits, train, angle, executor)
    scored_splits = _hide_documents(task, splits)
    candidate = _prepare_method(task, scored_splits, method, angle).run(task, executor)
    if method == "nudge-c" and splits:
        candidate = tune.refine_nudge_c(task, scored_splits, candidate, executor)
    scores, cold = {}, None
    if splits:
        baseline_values = candidate.baseline_values
        if baseline_values is None:
            baseline_values = tune.measure_method(task, scored_splits, "nothing", {}).values
        baseline_mean = candidate.strata.average(baseline_values)
        scores = {"nothing": baseline_mean, candidate.method: candidate.mean}
        cold = _report_cold(candidate, baseline_values)
    reasons = [_describe_queries(task, splits), *([candidate.reason] if candidate.reason else [])]
    return choose.build_choice(task, candidate, train, scores, reasons, cold, executor)


def _hide_documents(task: SolverTask, splits: list[ValidationSplit]) -> list[ValidationSplit]:
    """Hide documents in the splits if cold answers count, and if that leaves any split."""
    return (hide_documents(task, splits) or splits) if task.cold_share is not None else splits


def _report_cold(candidate: tune.MethodCandidate, baseline_values: Float64) -> ColdReport | None:
    """Report the gains of a candidate on warm and cold answers, if there are cold ones."""
    if not candidate.strata.is_cold.any():
        return None
    return report_cold(candidate.strata, candidate.unbiased_values, baseline_values)


def _choose_method(
    task: SolverTask,
    splits: list[ValidationSplit],
    train: NDArray[np.bool_],
    angle: float | None,
    executor: Executor,
) -> Choice:
    """Pick the best method and fit it; a given `angle` holds for all methods but nudge-m."""
    baseline = tune.measure_method(task, splits, "nothing", {})
    reasons = [_describe_queries(task, splits)]
    if not choose.is_better_than_shuffled(task, splits, baseline.values):
        reasons.append("the judgements fit these vectors no better than shuffled ones would")
        return _choose_baseline(task, train, {"nothing": baseline.mean}, reasons)
    scored_splits = _hide_documents(task, splits)
    if scored_splits is not splits:
        baseline = tune.measure_method(task, scored_splits, "nothing", {})
    tunings = [
        tune.prepare_nudge_h(task, scored_splits, NEIGHBOUR_COUNTS[:1])
        if method == "nudge-h" and angle is None
        else _prepare_method(task, scored_splits, method, None if method == "nudge-m" else angle)
        for method in _list_methods(task)
    ]
    candidates = [
        tune.refine_nudge_c(task, scored_splits, candidate, executor)
        if candidate.method == "nudge-c"
        else candidate
        for candidate in tune.run_tunings(task, tunings, executor)
    ]
    leader, reason = choose.pick_candidate([baseline, *candidates])
    return choose.build_choice(
        task,
        leader,
        train,
        {candidate.method: candidate.mean for candidate in (baseline, *candidates)},
        [*reasons, *(candidate.reason for candidate in candidates), reason],
        _report_cold(leader, baseline.values),
        executor,
    )


def _list_methods(task: SolverTask) -> list[Method]:
    """Return the methods that "auto" compares, from simple to complex."""
    methods: list[Method] = ["nudge-n"]
    if task.cold_share is not None:
        methods.append("nudge-h")
    if task.similarity == "dot":
        methods.append("nudge-m")
    return [*methods, "nudge-c"]


def _choose_baseline(
    task: SolverTask, train: NDArray[np.bool_], scores: dict[str, float], reasons: list[str]
) -> Choice:
    """Leave the points as they are, for the reasons given."""
    baseline = tune.measure_method(task, [], "nothing", {})
    return choose.build_choice(
        task, baseline, train, scores, [*reasons, "so the points are left alone"]
    )


def _describe_queries(task: SolverTask, splits: list[ValidationSplit]) -> str:
    """Say how many queries have an answer, and how many of them validated."""
    validation_count = sum(int(split.validation.sum()) for split in splits)
    answered_count = int(has_answer(task.queries.relevance).sum())
    return (
        f"{answered_count} of {len(task.queries)} queries have a relevant point; "
        f"{validation_count} of them judged held out, in {len(splits)} "
        f"split{'s' if len(splits) != 1 else ''}"
    )


def _prepare_method(
    task: SolverTask, splits: list[ValidationSplit], method: Method, angle: float | None
) -> tune.Tuning:
    """Prepare to measure one method, at the given angle or at the best one."""
    if method == "nothing":
        return tune.prepare_measurement(task, splits, "nothing", {})
    if angle is not None:
        return tune.prepare_fixed_angle(task, splits, method, angle)
    preparations = {
        "nudge-n": tune.prepare_nudge_n,
        "nudge-h": tune.prepare_nudge_h,
        "nudge-m": tune.prepare_nudge_m,
        "nudge-c": tune.prepare_nudge_c,
    }
    return preparations[method](task, splits)
