"""Plans with vectors of a test's own choosing, which the gate lets through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Float32
from nudge_sync.planning.plan import Gate, Plan
from nudge_sync.store import checksum
from nudge_sync.store.target import Target


def handmade(
    target: Target,
    settings: CollectionSettings,
    wanted: Mapping[int, Float32],
    *,
    loses: bool = False,
) -> Plan:
    """A plan that moves each point of `wanted` there from what it holds now.

    loses: the live check will find that it made the search worse.
    """
    made = cycle.plan(target, settings)
    held = target.collection.read(list(wanted))
    vectors = np.array([wanted[int(point)] for point in held.ids], np.float32)
    return replace(
        made,
        inputs=checksum.digest_bytes(vectors.tobytes()),
        ids=held.ids,
        vectors=vectors.reshape(held.vectors.shape),
        live_vectors=held.vectors,
        live_digests=checksum.digest_vectors(held.vectors),
        angles=[0.1] * len(held),
        gate=Gate(passed=True, reasons=[]),
        found={name: float(loses) for name in made.found},
    )


def near(originals: Float32, seed: int) -> Float32:
    """Unit rows a little away from each of `originals` (n, d)."""
    noise = np.random.default_rng(seed).normal(size=originals.shape)
    rows = originals + 0.4 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
