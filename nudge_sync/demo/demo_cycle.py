"""The demo: ingest, feedback, plan, canary, write, measure, roll back, compare the bits."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Float32, Int64
from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.canary.start import start
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Collection, PointId, Points
from nudge_sync.demo import engine as demo_engine
from nudge_sync.demo.requests import Requests, Tools, load_demo_data, split_requests
from nudge_sync.demo.visitors import VisitorsReview, show_to_visitors
from nudge_sync.evaluate.score import score_run
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.sources import build_judgement_source
from nudge_sync.metrics import METRIC_NAMES
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.target import Target, open_target
from nudge_sync.writing.rollback import roll_back

DEMO_METRICS = ("ndcg@10", "recall@10", "recall@1")
HOLDBACK_SHARE = 0.05
_SETTINGS = CollectionSettings(
    canary=CanarySettings(share=1.0, min_sessions=100, holdback_share=HOLDBACK_SHARE)
)
_DEPTH = 10
_GAINED_EXAMPLES, _LOST_EXAMPLES = 4, 1


@dataclass(frozen=True)
class Example:
    """A held-out request whose best answer changed."""

    request: str
    before: str
    after: str
    right_answers: str


@dataclass(frozen=True)
class DemoResult:
    """What the demo showed."""

    summary: dict[str, Any]
    """The fields of `demo --json`."""
    reviews: list[VisitorsReview]
    """What the reviews of the canary saw, one after the other."""
    examples: list[Example]
    gained_count: int
    """Held-out requests whose best answer became a right one."""
    lost_count: int
    """Held-out requests whose best answer no longer is a right one."""


def run_demo(
    engine: str = demo_engine.EMBEDDED_ENGINE,
    url: str | None = None,
    collection_name: str = "nudge_sync_demo",
    progress: Progress = ignore_progress,
    *,
    keep: bool = False,
) -> DemoResult:
    """Run the demo on `engine`; `seconds` counts from the opened database to the compared bits.

    keep: leaves the collection and its companions, which are dropped otherwise.
    Raises ConfigError, DatabaseError.
    """
    tools, requests = load_demo_data()
    train, held_out = split_requests(requests)
    with (
        demo_engine.open_demo_database(engine, url) as database,
        ExitStack() as cleanup,
    ):
        start_time = time.perf_counter()
        payloads = [{"tool": tool} for tool in tools.names]
        demo_engine.create_demo_collection(
            engine, database, collection_name, tools.vectors, payloads
        )
        target = open_target(database, collection_name)
        if not keep:
            cleanup.callback(demo_engine.drop_demo_collections, target)
        import_requests(target, train, progress)
        measured = _apply_and_roll_back(target, held_out, len(tools.names), progress)
        facts = database.describe()
        summary = {
            "collection": target.name,
            "engine": f"{facts.product} {facts.version}".strip(),
            "documents": len(tools.names),
            "queries": len(held_out.names),
            **{key: measured.applied[key] for key in ("judged", "moved", "method")},
            "canary": [each.summary() for each in measured.reviews],
            "before": score_demo_run(measured.run_before, held_out),
            "after": score_demo_run(measured.run_after, held_out),
            "revision": measured.applied["candidate"],
            "rolled_back": measured.comparison,
            "seconds": round(time.perf_counter() - start_time, 2),
        }
    return _build_result(summary, measured, tools, held_out)


def import_requests(target: Target, requests: Requests, progress: Progress) -> None:
    """Import the requests and their answers as feedback on the collection."""
    judgements: dict[str, dict[PointId, float]] = {
        name: dict.fromkeys(answers, 1.0)
        for name, answers in zip(requests.names, requests.answers, strict=True)
    }
    source = build_judgement_source(requests.names, requests.vectors, judgements)
    destination = Destination(target.queries, target.events, target.collection)
    import_rows([source], destination, progress=progress)


@dataclass(frozen=True)
class _MeasuredCycle:
    applied: dict[str, Any]
    """The fields of `canary start --json`."""
    reviews: list[VisitorsReview]
    run_before: Int64
    run_after: Int64
    """What the collection answered to each held-out request: (q, depth) rows, best first."""
    comparison: dict[str, Any]
    """How the vectors after the rollback compare with those before the cycle."""


def _apply_and_roll_back(
    target: Target, held_out: Requests, point_count: int, progress: Progress
) -> _MeasuredCycle:
    ids = list(range(point_count))
    original_points = target.collection.read(ids)
    run_before = search_rows(target.collection, held_out.vectors)
    applied = start(target, _SETTINGS, None, progress).summary()
    reviews = show_to_visitors(target, _SETTINGS, held_out, progress)
    run_after = search_rows(target.collection, held_out.vectors)
    roll_back(target, _SETTINGS, originals=True, progress=progress)
    comparison = compare_points(original_points, target.collection.read(ids))
    return _MeasuredCycle(applied, reviews, run_before, run_after, comparison)


def search_rows(collection: Collection, queries: Float32) -> Int64:
    """Return the rows that the database finds for each query (q, d), best first: (q, depth).

    -1 fills up where it finds fewer.
    """
    run = np.full((len(queries), _DEPTH), -1, np.int64)
    for row, ids in enumerate(collection.search(queries, _DEPTH).ids):
        run[row, : len(ids)] = [int(point) for point in ids]
    return run


def score_demo_run(run: Int64, requests: Requests) -> dict[str, float]:
    """Return metric -> its mean over the requests, for what the database found (q, depth)."""
    judgements = [dict.fromkeys(answers, 1.0) for answers in requests.answers]
    means = dict(zip(METRIC_NAMES, score_run(run, judgements).mean(axis=0), strict=True))
    return {name: round(float(means[name]), 6) for name in DEMO_METRICS}


def compare_points(original: Points, restored: Points) -> dict[str, Any]:
    """Return how many rows are bit for bit the same, and the largest difference of the others."""
    same_bits = (original.vectors.view(np.uint32) == restored.vectors.view(np.uint32)).all(axis=1)
    return {
        "points": len(original),
        "identical": int(same_bits.sum()) if original.ids == restored.ids else 0,
        "max_abs_difference": float(np.abs(original.vectors - restored.vectors).max()),
    }


def _build_result(
    summary: dict[str, Any], measured: _MeasuredCycle, tools: Tools, held_out: Requests
) -> DemoResult:
    best_before, best_after = measured.run_before[:, 0], measured.run_after[:, 0]
    was_right, is_right = (
        np.array([row in right for row, right in zip(best, held_out.answers, strict=True)])
        for best in (best_before, best_after)
    )
    gained, lost = np.flatnonzero(is_right & ~was_right), np.flatnonzero(was_right & ~is_right)
    examples = [
        Example(
            request=held_out.names[row],
            before=tools.names[best_before[row]],
            after=tools.names[best_after[row]],
            right_answers=", ".join(tools.names[tool] for tool in sorted(held_out.answers[row])),
        )
        for row in (*gained[:_GAINED_EXAMPLES], *lost[:_LOST_EXAMPLES])
    ]
    return DemoResult(summary, measured.reviews, examples, len(gained), len(lost))
