"""Many cycles over feedback that drifts: what nobody judged never moves, and nothing piles up.

    python benchmarks/soak.py --cycles 1000

On Qdrant's embedded engine. Each cycle other documents are answered by other queries; some
feedback of the cycle before is forgotten. Prints what moved that was never judged (0), how far
points without feedback are from their originals (0), and how many records the sidecar keeps.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support")]

from ram import folder  # noqa: E402

import nudge_sync_qdrant_edge as edge  # noqa: E402
from nudge_sync import cycle  # noqa: E402
from nudge_sync.config import (  # noqa: E402
    CollectionSettings,
    GateSettings,
    SolverSettings,
    WriteSettings,
)
from nudge_sync.connector import Float32  # noqa: E402
from nudge_sync.errors import GateRefused  # noqa: E402
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record  # noqa: E402
from nudge_sync.store.target import Target, open_target  # noqa: E402
from nudge_sync.writing.rollback import roll_back  # noqa: E402

POINTS, DIMENSION, QUERIES, ANSWERED = 80, 8, 60, 8
KEPT = 3
SETTINGS = CollectionSettings(
    solver=SolverSettings(method="nudge-n", angle=0.3, threads=1),
    gate=GateSettings(min_queries=1, confidence=0.5, max_loss=1.0),
    write=WriteSettings(keep_revisions=KEPT),
)


@dataclass
class Soak:
    """What many cycles came to."""

    cycles: int = 0
    applied: int = 0
    refused: int = 0
    judged: set[int] = field(default_factory=set)
    """Points that were ever judged."""
    strayed: int = 0
    """Rows that moved although nobody ever judged them, over all cycles."""
    farthest: float = 0.0
    """Largest distance of a point without feedback from its original after an applied cycle."""
    shadow: int = 0
    history: int = 0
    """Most records that were ever kept."""
    seconds: float = 0.0
    identical: bool = False
    """Whether the originals came back bit for bit in the end."""


def unit(rows: np.ndarray) -> Float32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def teach(target: Target, vectors: Float32, cycle_number: int) -> set[int]:
    """Forget all feedback, then judge a few points by new queries near them; which points."""
    rng = np.random.default_rng(cycle_number)
    points = rng.choice(POINTS * 3 // 4, ANSWERED, replace=False)
    spots = unit(vectors[points] + 0.8 * unit(rng.normal(size=(ANSWERED, DIMENSION))))
    answers = rng.integers(0, ANSWERED, QUERIES)
    queries = unit(spots[answers] + 0.2 * rng.normal(size=(QUERIES, DIMENSION)))
    target.queries.drop()
    target.events.drop()
    names = [f"{cycle_number}-{row}" for row in range(QUERIES)]
    target.queries.put(
        [to_search_record(Search(name, row)) for name, row in zip(names, queries, strict=True)]
    )
    target.events.put(
        [
            to_event_record(Event(name, "relevant", int(points[answer])))
            for name, answer in zip(names, answers, strict=True)
        ]
    )
    return {int(point) for point in points[np.unique(answers)]}


def soak(cycles: int) -> Soak:
    """That many cycles on a fresh collection."""
    vectors = unit(np.random.default_rng(0).normal(size=(POINTS, DIMENSION)))
    done, started = Soak(), time.perf_counter()
    with folder() as place:
        database = edge.connect({"path": str(place), "sync": False})
        edge.ingest(database, "docs", list(range(POINTS)), vectors)
        for number in range(cycles):
            once(open_target(database, "docs"), vectors, number, done)
        target = open_target(database, "docs")
        roll_back(target, SETTINGS, originals=True)
        live = target.collection.read(range(POINTS)).vectors
        done.identical = live.tobytes() == vectors.tobytes()
        database.close()
    done.seconds = time.perf_counter() - started
    return done


def once(target: Target, vectors: Float32, number: int, done: Soak) -> None:
    """One cycle, and what it left."""
    fed = teach(target, vectors, number)
    done.cycles += 1
    done.judged |= fed
    try:
        cycle.apply(target, SETTINGS)
        done.applied += 1
    except GateRefused:
        done.refused += 1
    live = target.collection.read(range(POINTS)).vectors
    moved = {int(row) for row in np.flatnonzero((live != vectors).any(axis=1))}
    done.strayed += len(moved - done.judged)
    unfed = sorted(set(range(POINTS)) - fed)
    apart = float(np.linalg.norm(live[unfed] - vectors[unfed], axis=1).max())
    done.farthest = max(done.farthest, apart)
    done.shadow = max(done.shadow, target.shadow_records.count())
    done.history = max(done.history, target.history_records.count())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=1000)
    done = soak(parser.parse_args().cycles)
    print(f"cycles {done.cycles}: {done.applied} applied, {done.refused} refused")
    print(f"moved without ever being judged: {done.strayed}")
    print(f"largest distance of an unfed point from its original: {done.farthest:g}")
    print(f"points ever judged {len(done.judged)}, originals kept {done.shadow}")
    print(f"history records at most {done.history} ({KEPT} revisions kept)")
    print(f"back bit for bit: {done.identical}; {done.seconds:.0f} s")


if __name__ == "__main__":
    main()
