"""The round: ingest, feedback, plan, apply, measure, roll back, compare the bits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nudge_sync import cycle
from nudge_sync.base.progress import Progress, silent
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Collection, Database, Float32, PointId, Points
from nudge_sync.demo import places
from nudge_sync.demo.requests import Requests, Tools, load, split
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.sources import build_judgement_source
from nudge_sync.metrics import parse
from nudge_sync.store.target import Target, open_target
from nudge_sync.writing.rollback import roll_back

METRICS = ("ndcg@10", "recall@10", "recall@1")
_DEPTH = 10


@dataclass(frozen=True)
class Example:
    """A request nothing had seen, whose best answer changed."""

    request: str
    before: str
    after: str
    right: str


@dataclass(frozen=True)
class Outcome:
    """What the round showed."""

    summary: dict[str, Any]
    """The fields of `demo --json`."""
    examples: list[Example]
    gained: int
    """Unseen requests whose best answer became a right one."""
    lost: int
    """Unseen requests whose best answer no longer is a right one."""


def run(
    engine: str = places.EMBEDDED,
    url: str | None = None,
    name: str = "nudge_sync_demo",
    progress: Progress = silent,
) -> Outcome:
    """Run the demo on `engine`; `seconds` counts from the opened database to the compared bits.

    Raises ConfigError, DatabaseError, GateRefused.
    """
    tools, requests = load()
    taught, unseen = split(requests)
    with places.opened(engine, url) as database:
        started = time.perf_counter()
        payloads = [{"tool": tool} for tool in tools.names]
        places.fill(engine, database, name, tools.vectors, payloads)
        target = open_target(database, name)
        teach(target, taught, progress)
        return _Round(database, target, tools, unseen, started).go(progress)


def teach(target: Target, requests: Requests, progress: Progress) -> None:
    """Import the requests and their answers as feedback."""
    relevant: dict[str, dict[PointId, float]] = {
        name: dict.fromkeys(answers, 1.0)
        for name, answers in zip(requests.names, requests.answers, strict=True)
    }
    source = build_judgement_source(requests.names, requests.vectors, relevant)
    place = Destination(target.queries, target.events, target.collection)
    import_rows([source], place, progress=progress)


@dataclass(frozen=True)
class _Round:
    database: Database
    target: Target
    tools: Tools
    unseen: Requests
    started: float

    def go(self, progress: Progress) -> Outcome:
        ids = list(range(len(self.tools.names)))
        original = self.target.collection.read(ids)
        before = ranked(self.target.collection, self.unseen.vectors)
        applied = cycle.apply(self.target, CollectionSettings(), None, progress).summary()
        after = ranked(self.target.collection, self.unseen.vectors)
        roll_back(self.target, CollectionSettings(), originals=True, progress=progress)
        back = compare(original, self.target.collection.read(ids))
        facts = self.database.describe()
        summary = {
            "collection": self.target.name,
            "engine": f"{facts.product} {facts.version}".strip(),
            "documents": len(ids),
            "queries": len(self.unseen.names),
            **{key: applied[key] for key in ("judged", "moved", "method")},
            "before": scores(before, self.unseen),
            "after": scores(after, self.unseen),
            "revision": applied["revision"],
            "rolled_back": back,
            "seconds": round(time.perf_counter() - self.started, 2),
        }
        return self._outcome(summary, before, after)

    def _outcome(
        self, summary: dict[str, Any], before: list[list[int]], after: list[list[int]]
    ) -> Outcome:
        answers = self.unseen.answers
        was = np.array([hits[0] in right for hits, right in zip(before, answers, strict=True)])
        now = np.array([hits[0] in right for hits, right in zip(after, answers, strict=True)])
        gained, lost = np.flatnonzero(now & ~was), np.flatnonzero(was & ~now)
        examples = [self._example(int(row), before, after) for row in (*gained[:4], *lost[:1])]
        return Outcome(summary, examples, len(gained), len(lost))

    def _example(self, row: int, before: list[list[int]], after: list[list[int]]) -> Example:
        name = self.tools.names
        right = ", ".join(name[tool] for tool in sorted(self.unseen.answers[row]))
        return Example(self.unseen.names[row], name[before[row][0]], name[after[row][0]], right)


def ranked(collection: Collection, queries: Float32) -> list[list[int]]:
    """The rows that the engine finds for each query (q, d), best first."""
    hits = collection.search(queries, _DEPTH)
    return [[int(point) for point in found] for found in hits.ids]


def scores(run: Sequence[Sequence[int]], requests: Requests) -> dict[str, float]:
    """The mean of each metric over the requests, from what the engine found."""
    return {name: round(float(np.mean(_values(name, run, requests))), 6) for name in METRICS}


def _values(name: str, run: Sequence[Sequence[int]], requests: Requests) -> list[float]:
    metric = parse(name)
    worth = metric.discounts()[: metric.depth]
    values = []
    for found, right in zip(run, requests.answers, strict=True):
        hits = [tool in right for tool in found[: metric.depth]]
        best = worth[: min(len(right), metric.depth)].sum()
        values.append(float(worth[: len(hits)][hits].sum() / best))
    return values


def compare(original: Points, now: Points) -> dict[str, Any]:
    """How many rows are bit for bit what they were, and by how much the others differ."""
    same_bits = (original.vectors.view(np.uint32) == now.vectors.view(np.uint32)).all(axis=1)
    return {
        "points": len(original),
        "identical": int(same_bits.sum()) if original.ids == now.ids else 0,
        "max_abs_difference": float(np.abs(original.vectors - now.vectors).max()),
    }
