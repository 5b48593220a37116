"""A plan to damage, without a database."""

from __future__ import annotations

from typing import Any

import numpy as np

from nudge_sync.planning.gate import Gate
from nudge_sync.planning.plan import (
    ColdFigures,
    GainFigures,
    Plan,
    PlanFigures,
    PlanInputs,
    PlanRows,
)
from nudge_sync.store import checksum

SCORES = {"ndcg@10": 0.5, "recall@10": 0.5, "recall@1": 0.25, "mrr@10": 0.5}


def make_fake_plan(rows: int = 3, dimension: int = 4, **row_fields: Any) -> Plan:
    """Return a whole plan of `rows` points 0, 1, ... with made-up figures.

    row_fields: fields of the plan's rows that are given rather than made up.
    """
    vectors = np.random.default_rng(0).normal(size=(rows, dimension)).astype(np.float32)
    made_up: dict[str, Any] = {
        "ids": list(range(rows)),
        "vectors": vectors,
        "live_digests": checksum.digest_vectors(vectors),
        "angles": [0.25] * rows,
    }
    return Plan(
        inputs=PlanInputs(
            collection="docs",
            head=0,
            feedback_digest=checksum.digest_bytes(b"feedback"),
            settings_digest=checksum.digest_bytes(b"settings"),
        ),
        inputs_digest=checksum.digest_bytes(b"inputs"),
        figures=make_fake_figures(rows),
        gate=Gate(passed=True, reasons=["it helps"], queries=20, gain=0.1, interval=(0.05, 0.2)),
        rows=PlanRows(**{**made_up, **row_fields}),
        drifted=[7, "u"],
        missing=[],
    )


def make_fake_figures(rows: int) -> PlanFigures:
    """Return made-up figures of a plan that moves `rows` points."""
    return PlanFigures(
        metric="ndcg@10",
        method="nudge-n",
        parameters={"angle": 0.3},
        scores={"nothing": 0.4, "nudge-n": 0.5},
        reasons=["it helps"],
        judged=rows,
        queries={"choosing": 80, "held": 20},
        before=SCORES,
        after=SCORES,
        originals=SCORES,
        found=SCORES,
        cold=ColdFigures(
            0.5,
            "assumed",
            warm=GainFigures(0.1, 0.05, 0.15, 20),
            cold=GainFigures(-0.002, None, None, 1),
        ),
    )
