"""A plan to damage, without a database."""

from __future__ import annotations

from typing import Any

import numpy as np

from nudge_sync.planning.plan import Gate, Plan
from nudge_sync.store import checksum

SCORES = {"ndcg@10": 0.5, "recall@10": 0.5, "recall@1": 0.25, "mrr@10": 0.5}


def make_fake_plan(rows: int = 3, dimension: int = 4, **overrides: Any) -> Plan:
    """A whole plan of `rows` points 0, 1, ... with made-up figures."""
    vectors = np.random.default_rng(0).normal(size=(rows, dimension)).astype(np.float32)
    fields: dict[str, Any] = {
        "collection": "docs",
        "head": 0,
        "feedback": checksum.digest_bytes(b"feedback"),
        "settings": checksum.digest_bytes(b"settings"),
        "inputs": checksum.digest_bytes(b"inputs"),
        "metric": "ndcg@10",
        "method": "nudge-n",
        "parameters": {"angle": 0.3},
        "scores": {"nothing": 0.4, "nudge-n": 0.5},
        "reasons": ["it helps"],
        "judged": rows,
        "queries": {"choosing": 80, "held": 20},
        "before": SCORES,
        "after": SCORES,
        "originals": SCORES,
        "found": SCORES,
        "gate": Gate(passed=True, reasons=["it helps"], queries=20, gain=0.1, interval=(0.05, 0.2)),
        "ids": list(range(rows)),
        "vectors": vectors,
        "live_digests": checksum.digest_vectors(vectors),
        "angles": [0.25] * rows,
        "drifted": [7, "u"],
        "missing": [],
    }
    return Plan(**{**fields, **overrides})
