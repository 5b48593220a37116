"""Tune the settings of each method on validation queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Float64
from nudge_sync.base.executor import LOCAL, Executor
from nudge_sync.base.text.percent import format_percent
from nudge_sync.solve.co_relevance import has_co_relevant_points
from nudge_sync.solve.line_search.step_function import StepFunction
from nudge_sync.solve.nudge_c import NudgeCSettings, estimate_sharpness
from nudge_sync.solve.nudge_h import NEIGHBOUR_COUNTS
from nudge_sync.solve.selection.strata import Strata, build_strata
from nudge_sync.solve.selection.trials import SplitTrial, run_trial
from nudge_sync.solve.task import SolverTask, ValidationSplit

SIGNIFICANCE_Z = 1.645
"""Standard errors by which a method has to beat doing nothing: a one-sided test at 5 %."""
PREFERENCE_Z = 0.5
"""Standard errors by which a method has to beat a simpler one that helps too."""
MAX_STEP = 2.0
"""Longest step of NUDGE-M that is tried, in lengths of the point."""
DEFAULT_PRIOR, WEAKER_PRIOR = 1.0, 0.3
"""The usual `prior` of NUDGE-C, and one that has to beat it significantly."""
CO_RELEVANCE = 1.0
"""The `co_relevance` of NUDGE-C that is tried: a document asks for others as strongly as a query of
one answer."""
COLD_ANSWERS_PER_ODDS = 0.25
"""The `cold_answers` of NUDGE-C, per cold_share / (1 - cold_share). Chosen by hand on four
collections: see decision 41."""
STRONGER_PRIORS = (3.0, 10.0)
"""Values of `prior` that are tried one after the other, as long as each is significantly ahead:
where judgements are few and doubtful, as clicks are, originals have to be held on to."""
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


@dataclass(frozen=True)
class Tuning:
    """The trials by which the settings of a method are found, and what follows from them."""

    trials: list[SplitTrial]
    conclude: Callable[[list[StepFunction]], MethodCandidate]
    """Takes the results of the trials, in their order."""

    def run(self, task: SolverTask, executor: Executor = LOCAL) -> MethodCandidate:
        """Run the trials, and return the method with the settings found."""
        return self.conclude(list(executor.map(run_trial, task, self.trials)))


def run_tunings(
    task: SolverTask, tunings: Sequence[Tuning], executor: Executor
) -> list[MethodCandidate]:
    """Run the trials of all tunings side by side, and return the candidate of each."""
    trials = [trial for tuning in tunings for trial in tuning.trials]
    results = executor.map(run_trial, task, trials)
    return [tuning.conclude(list(islice(results, len(tuning.trials)))) for tuning in tunings]


def measure_method(
    task: SolverTask, splits: list[ValidationSplit], method: str, parameters: Mapping[str, Any]
) -> MethodCandidate:
    """Measure a method with given settings, trained on the training queries of each split."""
    return prepare_measurement(task, splits, method, parameters).run(task)


def prepare_measurement(
    task: SolverTask, splits: list[ValidationSplit], method: str, parameters: Mapping[str, Any]
) -> Tuning:
    """Prepare to measure a method with given settings on each split."""

    def conclude(results: list[StepFunction]) -> MethodCandidate:
        values = np.concatenate([np.empty(0), *(result.initial for result in results)])
        return MethodCandidate(method, dict(parameters), values, build_strata(task, splits))

    return Tuning([SplitTrial(method, parameters, split) for split in splits], conclude)


def prepare_nudge_n(task: SolverTask, splits: list[ValidationSplit]) -> Tuning:
    """Prepare to find the angle of NUDGE-N with the highest mean validation metric."""

    def conclude(results: list[StepFunction]) -> MethodCandidate:
        step_function = StepFunction.concatenate(results)
        angle, candidate = _pick_angle(task, splits, "nudge-n", step_function, task.max_angle)
        reason = (
            f"nudge-n: of all angles up to {task.max_angle:.3f}, {angle:g} gives the highest "
            f"{_describe_metric(task)} ({candidate.mean:.4f})"
        )
        return replace(candidate, parameters={"angle": angle}, reason=reason)

    return Tuning([SplitTrial("nudge-n", {}, split, task.max_angle) for split in splits], conclude)


def prepare_nudge_h(
    task: SolverTask,
    splits: list[ValidationSplit],
    neighbour_counts: tuple[int, ...] = NEIGHBOUR_COUNTS,
) -> Tuning:
    """Prepare to find the number of neighbours and the angle of NUDGE-H with the highest mean."""

    def conclude(results: list[StepFunction]) -> MethodCandidate:
        tried = []
        for number, count in enumerate(neighbour_counts):
            step_function = StepFunction.concatenate(results[number :: len(neighbour_counts)])
            angle, candidate = _pick_angle(task, splits, "nudge-h", step_function, task.max_angle)
            tried.append(replace(candidate, parameters={"angle": angle, "neighbours": count}))
        best = max(tried, key=lambda candidate: candidate.mean)
        reason = (
            f"nudge-h: {_describe_metric(task)} by number of neighbours, each at its best angle up "
            f"to {task.max_angle:.3f}: {_list_means(tried, 'neighbours')}"
        )
        return replace(best, reason=reason)

    trials = [
        SplitTrial("nudge-h", {"neighbours": count}, split, task.max_angle)
        for split in splits
        for count in neighbour_counts
    ]
    return Tuning(trials, conclude)


def prepare_nudge_m(task: SolverTask, splits: list[ValidationSplit]) -> Tuning:
    """Prepare to find the step of NUDGE-M with the highest mean validation metric."""
    limit = float(np.arctan(MAX_STEP))

    def conclude(results: list[StepFunction]) -> MethodCandidate:
        step_function = StepFunction.concatenate(results)
        angle, candidate = _pick_angle(task, splits, "nudge-m", step_function, limit)
        step = float(np.tan(angle))
        reason = (
            f"nudge-m: of all steps up to {MAX_STEP:g}, {step:.4g} gives the highest "
            f"{_describe_metric(task)} ({candidate.mean:.4f})"
        )
        return replace(candidate, parameters={"step": step}, reason=reason)

    return Tuning([SplitTrial("nudge-m", {}, split, limit) for split in splits], conclude)


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


def prepare_nudge_c(
    task: SolverTask, splits: list[ValidationSplit], cap: float | None = None
) -> Tuning:
    """Prepare to find the settings of NUDGE-C: the default ones unless another prior wins.

    cap: radians; the task's largest angle if None.
    Where cold answers count, no weaker one is tried: with a split for each fold of documents, every
    further strength costs more. Stronger ones come later (`refine_nudge_c`).
    """
    default = build_nudge_c_parameters(task, cap)
    priors = (DEFAULT_PRIOR,) if task.cold_share is not None else (DEFAULT_PRIOR, WEAKER_PRIOR)
    measurements = [
        prepare_measurement(task, splits, "nudge-c", {**default, "prior": prior})
        for prior in priors
    ]

    def conclude(results: list[StepFunction]) -> MethodCandidate:
        remaining = iter(results)
        tried = [one.conclude(list(islice(remaining, len(splits)))) for one in measurements]
        return _pick_prior(task, tried)

    return Tuning([trial for one in measurements for trial in one.trials], conclude)


def _pick_prior(task: SolverTask, tried: list[MethodCandidate]) -> MethodCandidate:
    """Return the first candidate of NUDGE-C, or a later one that is significantly ahead of it."""
    default = tried[0]
    if task.cold_share is not None:
        weight = default.parameters["cold_answers"]
        reason = (
            f"nudge-c: {_describe_metric(task)} {default.mean:.4f}, where an unknown answer "
            f"weighs {weight:g} of a known one"
        )
        return replace(default, reason=reason)
    leader = default
    for candidate in tried[1:]:
        if leader.strata.is_ahead(candidate.values, leader.values, SIGNIFICANCE_Z):
            leader = candidate
    listed = _list_means(tried, "prior")
    reason = f"nudge-c: {_describe_metric(task)} by strength of the original: {listed}"
    return replace(leader, reason=reason)


def refine_nudge_c(
    task: SolverTask, splits: list[ValidationSplit], candidate: MethodCandidate, executor: Executor
) -> MethodCandidate:
    """Hold NUDGE-C on to the originals as firmly as is significantly better on the splits, and let
    documents ask for those that answer queries together with them, unless that is worse.

    In this order, as steps take twice as long once documents ask, or longer.
    """
    leader = candidate
    for prior in STRONGER_PRIORS:
        if prior <= leader.parameters["prior"]:
            continue
        parameters = {**leader.parameters, "prior": prior}
        # The first split alone tells whether a value is worth measuring on all of them.
        first = prepare_measurement(task, splits[:1], "nudge-c", parameters).run(task, executor)
        if first.mean <= first.strata.average(leader.values[: len(first.values)]):
            break
        rest = prepare_measurement(task, splits[1:], "nudge-c", parameters).run(task, executor)
        values = np.concatenate([first.values, rest.values])
        if not leader.strata.is_ahead(values, leader.values, SIGNIFICANCE_Z):
            break
        leader = _adopt(leader, parameters, values, f"a prior of {prior:g}")
    if not has_co_relevant_points(task.attraction):
        return leader
    alone = leader
    for prior in dict.fromkeys([alone.parameters["prior"], candidate.parameters["prior"]]):
        parameters = {**alone.parameters, "prior": prior, "co_relevance": CO_RELEVANCE}
        asking = prepare_measurement(task, splits, "nudge-c", parameters).run(task, executor)
        # It helps queries of other kinds than those that validate, so chance may speak against it.
        is_as_good = not alone.strata.is_ahead(alone.values, asking.values, PREFERENCE_Z)
        if asking.mean > leader.mean or (leader is alone and is_as_good):
            setting = f"a prior of {prior:g} and a co-relevance of {CO_RELEVANCE:g}"
            leader = _adopt(leader, parameters, asking.values, setting)
    return leader


def _adopt(
    leader: MethodCandidate, parameters: dict[str, Any], values: Float64, setting: str
) -> MethodCandidate:
    """Return the leader with another setting and what was measured with it."""
    reason = f"{leader.reason}; with {setting} {leader.strata.average(values):.4f}"
    return replace(leader, parameters=parameters, values=values, reason=reason)


def build_nudge_c_parameters(task: SolverTask, cap: float | None = None) -> dict[str, Any]:
    """Return the default settings of NUDGE-C.  cap: the task's largest angle if None."""
    parameters = {
        "sharpness": estimate_sharpness(task.queries.vectors, task.points, task.similarity),
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


def prepare_fixed_angle(
    task: SolverTask, splits: list[ValidationSplit], method: str, angle: float
) -> Tuning:
    """Prepare to measure a method at a given angle: the step of NUDGE-M, the cap of NUDGE-C.

    Without splits the candidate is unmeasured: its values are empty.
    """
    if method == "nudge-c" and splits:
        return prepare_nudge_c(task, splits, cap=angle)
    parameters: dict[str, Any] = {"step" if method == "nudge-m" else "angle": angle}
    if method == "nudge-c":
        parameters = build_nudge_c_parameters(task, angle)
    elif method == "nudge-h":
        parameters["neighbours"] = NEIGHBOUR_COUNTS[0]
    measurement = prepare_measurement(task, splits, method, parameters)

    def conclude(results: list[StepFunction]) -> MethodCandidate:
        return replace(measurement.conclude(results), reason=f"{method}: the angle was given")

    return Tuning(measurement.trials, conclude)


def _describe_metric(task: SolverTask) -> str:
    """Name the mean that the choice maximises."""
    if task.cold_share is None:
        return f"held-out {task.metric}"
    return f"held-out {task.metric} ({format_percent(task.cold_share)} of it on cold answers)"


def _list_means(tried: list[MethodCandidate], name: str) -> str:
    """List the mean metric of candidates by the value of one setting."""
    return ", ".join(f"{one.parameters[name]:g}: {one.mean:.4f}" for one in tried)
