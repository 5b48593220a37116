"""How long the console takes to answer, with 100,000 moved points and 1,000 revisions.

The same with a tenth of the points: what the first page reads does not grow with them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient

from nudge_sync.config import Config
from nudge_sync.connector import connect
from nudge_sync.console.access import Access
from nudge_sync.console.app import create_console_app
from nudge_sync.console.context import Console
from nudge_sync.console.opener import DatabaseOpener
from nudge_sync.console.work.plan_view import MovedPoint, PlanView
from nudge_sync.evaluate.inspection.search_changes import SearchComparison
from nudge_sync.planning.gate import Gate
from nudge_sync.planning.plan import Plan, PlanFigures, PlanInputs, PlanRows
from nudge_sync.store.target import open_target
from nudge_sync_qdrant_edge import ingest

DIMENSION, BATCH_SIZE, REPEATS = 64, 5000, 9
TOKEN = "the token of a benchmark"
SCORES = {"ndcg@10": 0.5, "recall@10": 0.6, "recall@1": 0.4, "mrr@10": 0.5}
GATE = Gate(passed=True, reasons=["it helps"], queries=500, gain=0.1, interval=(0.05, 0.15))


def build_config(folder: Path) -> Config:
    return Config.model_validate(
        {
            "database": {"connector": "qdrant-edge", "path": str(folder), "sync": False},
            "collections": {"docs": {}},
        }
    )


def fill(config: Config, point_count: int, revision_count: int) -> None:
    """Make a collection whose points were all moved once, and a ledger of that many revisions."""
    rng = np.random.default_rng(0)
    database = connect(config.connector, config.connection)
    figures = {"metric": "ndcg@10", "method": "nudge-c", "before": SCORES, "after": SCORES}
    plan = {**figures, "judged": point_count, "gate": GATE.summary()}
    vectors = rng.normal(size=(point_count, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ingest(database, "docs", list(range(point_count)), vectors, metric="cosine")
    target = open_target(database, "docs")
    for start in range(0, point_count, BATCH_SIZE):
        part = vectors[start : start + BATCH_SIZE]
        target.shadow.add_originals(1, list(range(start, start + len(part))), part)
    ledger = target.open_ledger()
    for number in range(revision_count):
        entry = ledger.add_entry("apply", number, None, {"rows": 100, "plan": plan})
        ledger.set_state(entry, "applied", written=100)
    database.close()


def make_plan_view(point_count: int) -> PlanView:
    """Return a plan that moves every point."""
    figures = PlanFigures(
        metric="ndcg@10",
        method="nudge-c",
        parameters={},
        scores={},
        reasons=[],
        judged=point_count,
        queries={"held": 500},
        before=SCORES,
        after=SCORES,
        originals=SCORES,
        found=SCORES,
    )
    angles = np.random.default_rng(1).random(point_count).tolist()
    rows = PlanRows(
        ids=list(range(point_count)),
        vectors=np.zeros((point_count, DIMENSION), np.float32),
        live_digests=[],
        angles=angles,
    )
    plan = Plan(PlanInputs("docs", 1, "", ""), "", figures, GATE, rows)
    searches = SearchComparison("ndcg@10", 500, 0.5, 0.6, 0, 0, [], [])
    return PlanView(plan, searches, [MovedPoint(*pair) for pair in enumerate(angles)], "here")


def time_pages(config: Config, point_count: int) -> dict[str, tuple[float, float]]:
    """Return page -> the medians of its answers, in milliseconds: by the clock, of the processor.

    The second says the same on a machine that has other work.
    """
    opener = DatabaseOpener(config, lambda: connect(config.connector, config.connection))
    console = Console(opener, Access(TOKEN))
    console.plans.put("docs", make_plan_view(point_count))
    client = TestClient(create_console_app(console), base_url="http://localhost")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    medians = {}
    for path in (
        "/",
        "/c/docs/plan",
        "/c/docs/plan/points?sort=angle&down=1&page=1000",
        "/c/docs/plan/points?sort=point&search=99",
        "/c/docs/revisions",
    ):
        times, busy_times = [], []
        for _ in range(REPEATS):
            start, busy_start = time.perf_counter(), time.process_time()
            answer = client.get(path, headers=headers)
            times.append(1000 * (time.perf_counter() - start))
            busy_times.append(1000 * (time.process_time() - busy_start))
            assert answer.status_code == 200, answer.text
        medians[path] = statistics.median(times), statistics.median(busy_times)
    console.jobs.close()
    opener.close()
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--revisions", type=int, default=1000)
    options = parser.parse_args()
    for point_count in (options.points // 10, options.points):
        with tempfile.TemporaryDirectory() as folder:
            config = build_config(Path(folder))
            fill(config, point_count, options.revisions)
            print(f"{point_count:,} moved points, {options.revisions:,} revisions,")
            print("milliseconds by the clock, and of the processor:", flush=True)
            for path, (median, busy) in time_pages(config, point_count).items():
                print(f"  {median:7.1f} {busy:7.1f}  {path}", flush=True)


if __name__ == "__main__":
    main()
