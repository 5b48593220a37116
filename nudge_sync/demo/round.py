"""The round: ingest, feedback, plan, apply, measure, roll back, compare the bits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nudge_sync import cycle
from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Collection, Database, Float32, PointId, Points
from nudge_sync.demo import places
from nudge_sync.demo.requests import Requests, Tools, load_demo_data, split_requests
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.sources import build_judgement_source
from nudge_sync.metrics import parse_metric
from nudge_sync.store.target import Target, open_target
from nudge_sync.writing.rollback import roll_back

DEMO_METRICS = ("ndcg@10", "recall@10", "recall@1")
_DEPTH = 10


@dataclass(frozen=True)
class Example:
    """A request nothing had seen, whose best answer changed."""

    request: str
    before: str
    after: str
    right_answers: str


@dataclass(frozen=True)
class DemoResult:
    """What the round showed."""

    summary: dict[str, Any]
    """The fields of `demo --json`."""
    examples: list[Example]
    gained_count: int
    """Unseen requests whose best answer became a right one."""
    lost_count: int
    """Unseen requests whose best answer no longer is a right one."""


def run_demo(
    engine: str = places.EMBEDDED_ENGINE,
    url: str | None = None,
    collection_name: str = "nudge_sync_demo",
    progress: Progress = ignore_progress,
) -> DemoResult:
    """Run the demo on `engine`; `seconds` counts from the opened database to the compared bits.

    Raises ConfigError, DatabaseError.
    """
    tools, requests = load_demo_data()
    train_requests, held_out = split_requests(requests)
    with places.open_demo_database(engine, url) as database:
        started = time.perf_counter()
        payloads = [{"tool": tool} for tool in tools.names]
        places.create_demo_collection(engine, database, collection_name, tools.vectors, payloads)
        target = open_target(database, collection_name)
        import_requests(target, train_requests, progress)
        return _Demo(database, target, tools, held_out, started).execute(progress)


def import_requests(target: Target, requests: Requests, progress: Progress) -> None:
    """Import the requests and their answers as feedback."""
    judgements: dict[str, dict[PointId, float]] = {
        name: dict.fromkeys(answers, 1.0)
        for name, answers in zip(requests.names, requests.answers, strict=True)
    }
    source = build_judgement_source(requests.names, requests.vectors, judgements)
    destination = Destination(target.queries, target.events, target.collection)
    import_rows([source], destination, progress=progress)


@dataclass(frozen=True)
class _Demo:
    database: Database
    target: Target
    tools: Tools
    held_out: Requests
    start_time: float

    def execute(self, progress: Progress) -> DemoResult:
        ids = list(range(len(self.tools.names)))
        original_points = self.target.collection.read(ids)
        before = search_rows(self.target.collection, self.held_out.vectors)
        applied = cycle.apply(self.target, CollectionSettings(), None, progress).summary()
        after = search_rows(self.target.collection, self.held_out.vectors)
        roll_back(self.target, CollectionSettings(), originals=True, progress=progress)
        comparison = compare_points(original_points, self.target.collection.read(ids))
        facts = self.database.describe()
        summary = {
            "collection": self.target.name,
            "engine": f"{facts.product} {facts.version}".strip(),
            "documents": len(ids),
            "queries": len(self.held_out.names),
            **{key: applied[key] for key in ("judged", "moved", "method")},
            "before": score_demo_run(before, self.held_out),
            "after": score_demo_run(after, self.held_out),
            "revision": applied["revision"],
            "rolled_back": comparison,
            "seconds": round(time.perf_counter() - self.start_time, 2),
        }
        return self._build_result(summary, before, after)

    def _build_result(
        self, summary: dict[str, Any], before: list[list[int]], after: list[list[int]]
    ) -> DemoResult:
        answers = self.held_out.answers
        was_right = np.array(
            [hits[0] in right for hits, right in zip(before, answers, strict=True)]
        )
        is_right = np.array([hits[0] in right for hits, right in zip(after, answers, strict=True)])
        gained, lost = np.flatnonzero(is_right & ~was_right), np.flatnonzero(was_right & ~is_right)
        examples = [
            self._build_example(int(row), before, after) for row in (*gained[:4], *lost[:1])
        ]
        return DemoResult(summary, examples, len(gained), len(lost))

    def _build_example(self, row: int, before: list[list[int]], after: list[list[int]]) -> Example:
        tool_names = self.tools.names
        right_answers = ", ".join(tool_names[tool] for tool in sorted(self.held_out.answers[row]))
        return Example(
            self.held_out.names[row],
            tool_names[before[row][0]],
            tool_names[after[row][0]],
            right_answers,
        )


def search_rows(collection: Collection, queries: Float32) -> list[list[int]]:
    """The rows that the engine finds for each query (q, d), best first."""
    hits = collection.search(queries, _DEPTH)
    return [[int(point) for point in point_ids] for point_ids in hits.ids]


def score_demo_run(run: Sequence[Sequence[int]], requests: Requests) -> dict[str, float]:
    """The mean of each metric over the requests, from what the engine found."""
    return {
        name: round(float(np.mean(_score_requests(name, run, requests))), 6)
        for name in DEMO_METRICS
    }


def _score_requests(name: str, run: Sequence[Sequence[int]], requests: Requests) -> list[float]:
    metric = parse_metric(name)
    discounts = metric.discounts()[: metric.depth]
    values = []
    for ranking, right in zip(run, requests.answers, strict=True):
        hits = [tool in right for tool in ranking[: metric.depth]]
        ideal_gain = discounts[: min(len(right), metric.depth)].sum()
        values.append(float(discounts[: len(hits)][hits].sum() / ideal_gain))
    return values


def compare_points(original: Points, now: Points) -> dict[str, Any]:
    """How many rows are bit for bit what they were, and by how much the others differ."""
    same_bits = (original.vectors.view(np.uint32) == now.vectors.view(np.uint32)).all(axis=1)
    return {
        "points": len(original),
        "identical": int(same_bits.sum()) if original.ids == now.ids else 0,
        "max_abs_difference": float(np.abs(original.vectors - now.vectors).max()),
    }
