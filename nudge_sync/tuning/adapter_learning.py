"""A query adapter learned from judgements, its strength chosen by cross-validation.

Of the maps in `adapter_maps` one strength is chosen, by three means that count the same: queries
left out at random, together with a fifth of the judged documents, on answers whose documents kept
their judgements (warm) and on those whose documents lost them (cold), also beside documents that
have moved; and whole clusters of queries left out, which are new topics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nudge_sync.solve.relevance import has_answer
from nudge_sync.tuning.adapter_maps import AdapterTask, Strength, learn_maps
from nudge_sync.tuning.adapter_validation import (
    Gains,
    StrengthTrial,
    cluster_queries,
    cross_validate,
)
from nudge_sync.tuning.query_adapter import QueryAdapter

SHRINKAGES = (0.1, 0.3, 1.0, 3.0, 10.0, np.inf)
"""alpha: in multiples of the mean eigenvalue of the queries; infinite for a mere shift."""
STEPS = (0.5, 1.0, 2.0)
"""eta."""
STEP_BESIDE_MOVED = 0.5
"""eta where documents have moved: they have gone a part of the way to the queries themselves."""
STRENGTHS = tuple(Strength(shrinkage, step) for shrinkage in SHRINKAGES for step in STEPS)
MIN_ADAPTER_QUERIES = 40
"""Fewest training queries that a map is learned from."""


@dataclass(frozen=True, slots=True)
class LearnedAdapter:
    """An adapter, or none, and why."""

    adapter: QueryAdapter | None
    """None where no map is better than none."""
    strength: Strength | None
    """Of the best map, also where it is not kept; None where nothing was learned."""
    gains: Gains | None
    """Of the best map; None where nothing was learned."""
    reason: str


def learn_query_adapter(task: AdapterTask) -> LearnedAdapter:
    """Return the map of queries that gains most by cross-validation, or none.

    A map is kept where it loses neither on cold answers nor on new topics, on average, and where
    the 95 % interval of its mean gain on warm answers and new topics, by clusters of queries, lies
    above zero. It is learned from all queries of the task that have an answer and a weight. The
    same task gives the same bits on one machine.
    """
    rows = np.flatnonzero(has_answer(task.relevance) & has_answer(task.weights))
    if len(rows) < MIN_ADAPTER_QUERIES:
        reason = f"{len(rows)} queries to learn from are too few; it takes {MIN_ADAPTER_QUERIES}"
        return LearnedAdapter(None, None, None, reason)
    task = task.select(rows)
    cluster = cluster_queries(task.queries.astype(np.float64))
    trials = cross_validate(task, list_strengths(task), cluster)
    strength = pick_strength(trials)
    trial = trials[strength]
    gains, overall = trial.estimate_gains(cluster), trial.estimate_overall(cluster)
    if not trial.is_harmless or overall.low <= 0 or not overall.is_known:
        reason = f"no map is shown to gain anything and to do no harm; the best: {gains}"
        return LearnedAdapter(None, strength, gains, reason)
    adapter = learn_maps(task).build_adapter(strength)
    return LearnedAdapter(adapter, strength, gains, f"queries left out gain {gains}")


def list_strengths(task: AdapterTask) -> list[Strength]:
    """Return the strengths that are tried on a task."""
    has_moved = task.live_documents is not None
    return [one for one in STRENGTHS if not has_moved or one.step == STEP_BESIDE_MOVED]


def pick_strength(trials: Mapping[Strength, StrengthTrial]) -> Strength:
    """Return the strength with the best sum of mean gains on warm, cold and new answers.

    Only those count that lose neither on cold nor on new ones, unless all do. Of equally good ones
    the weakest is taken.
    """
    harmless = [one for one, trial in trials.items() if trial.is_harmless]
    return max(
        harmless or list(trials),
        key=lambda one: (sum(trials[one].means), one.shrinkage, -one.step),
    )
