"""A canary for tests: turned vectors of some points, staged and running."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nudge_sync.connector import Float32, PointId
from nudge_sync.experiment.assign import is_chosen
from nudge_sync.store.experiments.candidate import stage_candidate
from nudge_sync.store.experiments.running import RunningExperiment, start_experiment
from nudge_sync.store.target import Target
from tests.support.unit_vectors import normalise_rows


def turn_vectors(vectors: Float32, seed: int = 5, angle: float = 0.6) -> Float32:
    """Return each vector turned in a direction of its own, its length kept as float32 can."""
    rng = np.random.default_rng(seed)
    directions = normalise_rows(rng.normal(size=vectors.shape))
    turned = normalise_rows(np.cos(angle) * vectors + np.sin(angle) * directions)
    return np.ascontiguousarray(turned, np.float32)


def start_canary(
    target: Target, ids: Sequence[PointId], vectors: Float32, **options: Any
) -> RunningExperiment:
    """Stage vectors (n, d) of some points as revision 1, and start a canary with everybody in it.

    options: of `start_experiment`.
    """
    live = target.collection.read(list(ids)).vectors
    rows = stage_candidate(target, 1, list(ids), vectors=vectors, replaced=live, originals=live)
    share = options.pop("share", 1.0)
    return start_experiment(target, "canary", 1, share, rows=rows, **options)


def find_session(running: RunningExperiment, *, chosen: bool) -> str:
    """Return a session that the experiment chooses, or one that it does not."""
    return next(
        unit
        for unit in (f"s{number}" for number in range(100_000))
        if is_chosen(running.key, unit, running.share) == chosen
    )
