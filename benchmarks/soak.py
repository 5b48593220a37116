"""Run many cycles over feedback that drifts: what nobody judged stays, and nothing piles up.

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
sys.path[:0] = [str(ROOT)]

import nudge_sync_qdrant_edge as edge  # noqa: E402
from nudge_sync import cycle  # noqa: E402
from nudge_sync.config import (  # noqa: E402
    CollectionSettings,
    GateSettings,
    SolverSettings,
    WriteSettings,
)
from nudge_sync.connector import Float32  # noqa: E402
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record  # noqa: E402
from nudge_sync.store.target import Target, open_target  # noqa: E402
from nudge_sync.writing.rollback import roll_back  # noqa: E402
from tests.support.ram_disk import ram_folder  # noqa: E402
from tests.support.unit_vectors import make_unit_rows, normalise_rows  # noqa: E402

POINTS, DIMENSION, QUERIES, ANSWERED_POINTS = 80, 8, 60, 8
KEPT = 3
SETTINGS = CollectionSettings(
    solver=SolverSettings(method="nudge-n", angle=0.3, threads=1),
    gate=GateSettings(min_queries=1, confidence=0.5, max_loss=1.0),
    write=WriteSettings(keep_revisions=KEPT),
)


@dataclass
class SoakReport:
    """The figures of many cycles."""

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


def replace_feedback(target: Target, vectors: Float32, cycle_number: int) -> set[int]:
    """Replace all feedback by labels on a few points, with new queries; return the points."""
    rng = np.random.default_rng(cycle_number)
    points = rng.choice(POINTS * 3 // 4, ANSWERED_POINTS, replace=False)
    query_centres = normalise_rows(
        vectors[points] + 0.8 * normalise_rows(rng.normal(size=(ANSWERED_POINTS, DIMENSION)))
    )
    answers = rng.integers(0, ANSWERED_POINTS, QUERIES)
    queries = normalise_rows(query_centres[answers] + 0.2 * rng.normal(size=(QUERIES, DIMENSION)))
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


def soak(cycles: int) -> SoakReport:
    """Run that many cycles on a new collection, and return what they came to."""
    vectors = make_unit_rows(POINTS, DIMENSION, 0)
    report, started = SoakReport(), time.perf_counter()
    with ram_folder() as path:
        database = edge.connect({"path": str(path), "sync": False})
        edge.ingest(database, "docs", list(range(POINTS)), vectors)
        for number in range(cycles):
            run_cycle(open_target(database, "docs"), vectors, number, report)
        target = open_target(database, "docs")
        roll_back(target, SETTINGS, originals=True)
        live_vectors = target.collection.read(range(POINTS)).vectors
        report.identical = live_vectors.tobytes() == vectors.tobytes()
        database.close()
    report.seconds = time.perf_counter() - started
    return report


def run_cycle(target: Target, vectors: Float32, number: int, report: SoakReport) -> None:
    """Run one cycle on new feedback, and add what it left to `report`."""
    judged_points = replace_feedback(target, vectors, number)
    report.cycles += 1
    report.judged |= judged_points
    if cycle.apply(target, SETTINGS).reason:
        report.refused += 1
    else:
        report.applied += 1
    live_vectors = target.collection.read(range(POINTS)).vectors
    moved = {int(row) for row in np.flatnonzero((live_vectors != vectors).any(axis=1))}
    report.strayed += len(moved - report.judged)
    unjudged_points = sorted(set(range(POINTS)) - judged_points)
    distance = float(
        np.linalg.norm(live_vectors[unjudged_points] - vectors[unjudged_points], axis=1).max()
    )
    report.farthest = max(report.farthest, distance)
    report.shadow = max(report.shadow, target.shadow.records.count())
    report.history = max(report.history, target.history.records.count())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=1000)
    report = soak(parser.parse_args().cycles)
    print(f"cycles {report.cycles}: {report.applied} applied, {report.refused} refused")
    print(f"moved without ever being judged: {report.strayed}")
    print(f"largest distance of a point without feedback from its original: {report.farthest:g}")
    print(f"points ever judged {len(report.judged)}, originals kept {report.shadow}")
    print(f"history records at most {report.history} ({KEPT} revisions kept)")
    print(f"back bit for bit: {report.identical}; {report.seconds:.0f} s")


if __name__ == "__main__":
    main()
