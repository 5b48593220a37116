"""Measure how long, on each engine, an application's write may be lost between compare and write.

    python benchmarks/race_window.py --engine qdrant-edge --trials 200

While `Collection.write` replaces a batch, another thread upserts one of its points at a random
moment. Written before the compare, the point is left alone; written after the write, it stays. In
between it is lost. The share that is lost, times how long the call takes, is the window.
Engines: memory, qdrant-edge, qdrant-edge+mark, milvus (at MILVUS_URI), milvus-lite.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import nudge_sync_qdrant_edge  # noqa: E402
from nudge_sync.connector import Collection, Database, Float32, Points  # noqa: E402
from tests.support.applications import create_application  # noqa: E402
from tests.support.ram_disk import ram_folder  # noqa: E402
from tests.support.unit_vectors import make_unit_rows  # noqa: E402

MARK_SETTINGS = {"payload_mark": "_nudge_sync"}


@dataclass
class RaceResult:
    """The figures of one engine's trials."""

    engine: str
    batch: int
    trials: int = 0
    lost: int = 0
    seconds: float = 0.0

    def format_line(self) -> str:
        call = 1000 * self.seconds / self.trials
        window = call * self.lost / self.trials
        return (
            f"{self.engine:18} {self.batch:6} {self.trials:6} {call:9.1f} {self.lost:6} "
            f"{window:10.2f}"
        )


def open_database(engine: str, path: Path) -> tuple[Any, Database]:
    name = engine.removesuffix("+mark")
    app = create_application(name, path, os.environ.get("MILVUS_URI", ""))
    if engine.endswith("+mark"):
        return app, nudge_sync_qdrant_edge.connect({"path": str(path), **MARK_SETTINGS})
    return app, app.connect()


def run_race(engine: str, trials: int, batch: int, dimension: int) -> RaceResult:
    result = RaceResult(engine, batch)
    with ram_folder() as path:
        app, database = open_database(engine, path)
        app.fill(database, make_unit_rows(batch, dimension, 0), "cosine")
        collection = database.collection("docs")
        rng = np.random.default_rng(1)
        pause = 0.0
        for trial in range(trials + 2):
            point, fresh = trial % batch, make_unit_rows(1, dimension, 2 * trial + 8)
            upsert = partial(app.upsert, database, [point], fresh)
            new_vectors = make_unit_rows(batch, dimension, 2 * trial + 7)
            seconds = write_during_upsert(collection, new_vectors, upsert, pause)
            pause = float(rng.uniform(0, seconds))
            # The first two warm up, and say how long a call takes.
            if trial > 1:
                live_vector = collection.read([point]).vectors
                result.trials += 1
                result.lost += live_vector.tobytes() == new_vectors[point].tobytes()
                result.seconds += seconds
        database.close()
    return result


def write_during_upsert(
    collection: Collection, new_vectors: Float32, upsert: Callable[[], None], pause: float
) -> float:
    """Replace all vectors while a thread upserts after `pause`; return the write's seconds."""
    ids = list(range(len(new_vectors)))
    live_vectors = collection.read(ids).vectors
    timer = Timer(pause, upsert)
    timer.start()
    started = time.perf_counter()
    collection.write(Points(ids, new_vectors), live_vectors)
    seconds = time.perf_counter() - started
    timer.join()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", action="append")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--dimension", type=int, default=384)
    args = parser.parse_args()
    print(
        f"{'engine':18} {'batch':>6} {'trials':>6} {'call, ms':>9} {'lost':>6} {'window, ms':>10}"
    )
    for engine in args.engine or ["memory", "qdrant-edge", "qdrant-edge+mark"]:
        print(run_race(engine, args.trials, args.batch, args.dimension).format_line(), flush=True)


if __name__ == "__main__":
    main()
