"""Plans with vectors of a test's own choosing, which the gate lets through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Float32
from nudge_sync.planning.gate import Gate
from nudge_sync.planning.plan import Plan, PlanRows
from nudge_sync.store import checksum
from nudge_sync.store.target import Target


def make_passing_plan(
    target: Target,
    settings: CollectionSettings,
    new_vectors: Mapping[Any, Float32],
    *,
    worsens: bool = False,
) -> Plan:
    """Return a plan that gives each point of `new_vectors` its vector there.

    worsens: the live check will find that it made the search worse, and roll it back.
    """
    plan = cycle.plan(target, settings)
    live_points = target.collection.read(list(new_vectors))
    vectors = np.array([new_vectors[point] for point in live_points.ids], np.float32)
    rows = PlanRows(
        ids=live_points.ids,
        vectors=vectors.reshape(live_points.vectors.shape),
        live_vectors=live_points.vectors,
        live_digests=checksum.digest_vectors(live_points.vectors),
        angles=[0.1] * len(live_points),
    )
    scores = {name: float(worsens) for name in plan.figures.found}
    return replace(
        plan,
        inputs_digest=checksum.digest_bytes(vectors.tobytes()),
        figures=replace(plan.figures, found=scores),
        gate=Gate(passed=True, reasons=[]),
        rows=rows,
    )
