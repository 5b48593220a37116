"""What a second client's searches take while the sidecar writes, with and without pacing.

    python benchmarks/live_latency.py --engine qdrant-edge --points 20000
    MILVUS_URI=http://127.0.0.1:19530 python benchmarks/live_latency.py --engine milvus

One thread searches all the time; the other replaces every vector: not at all, as fast as it can,
or at `write.rate` rows a second in batches of `write.batch_size`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support")]

from applications import application  # noqa: E402
from ram import folder  # noqa: E402

from nudge_sync.config import WriteSettings  # noqa: E402
from nudge_sync.connector import Collection, Float32, Points  # noqa: E402
from nudge_sync.pace import Pace  # noqa: E402
from nudge_sync.progress import silent  # noqa: E402


class Searcher(Thread):
    """Searches until told to stop, and notes how long each search took."""

    def __init__(self, collection: Collection, queries: Float32) -> None:
        super().__init__()
        self.collection, self.queries = collection, queries
        self.enough, self.seconds = Event(), []

    def run(self) -> None:
        number = 0
        while not self.enough.is_set():
            started = time.perf_counter()
            self.collection.search(self.queries[number % len(self.queries)][None], 10)
            self.seconds.append(time.perf_counter() - started)
            number += 1


def unit_rows(count: int, dimension: int, seed: int) -> Float32:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def replace_all(collection: Collection, settings: WriteSettings, new: Float32) -> None:
    """Every vector, as a plan is carried out."""
    pace = Pace(collection, settings, silent)
    for start in range(0, len(new), settings.batch_size):
        ids = list(range(start, min(start + settings.batch_size, len(new))))
        pace.wait(len(ids))
        held = collection.read(ids).vectors
        collection.write(Points(ids, new[ids]), held)


def line(name: str, seconds: list[float], took: float) -> str:
    middle, high = (1000 * float(np.quantile(seconds, q)) for q in (0.5, 0.95))
    return f"{name:28} {len(seconds):8} {middle:9.1f} {high:9.1f} {took:9.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="qdrant-edge")
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1000.0)
    args = parser.parse_args()
    with folder() as place:
        app = application(args.engine, place, os.environ.get("MILVUS_URI", ""))
        database, second = app.connect(), None
        app.fill(database, unit_rows(args.points, args.dimension, 0), "cosine")
        second = database if args.engine == "qdrant-edge" else app.connect()
        print(f"{args.engine}, {args.points} points of {args.dimension} numbers")
        print(f"{'':28} searches   p50, ms   p95, ms   took, s")
        ways = {
            "nothing is written": None,
            "written at full speed": WriteSettings(),
            f"paced, {args.rate:g} rows/s": WriteSettings(rate=args.rate, batch_size=100),
        }
        for seed, (name, settings) in enumerate(ways.items(), 1):
            new = unit_rows(args.points, args.dimension, seed)[: None if settings else 0]
            searcher = Searcher(second.collection("docs"), unit_rows(100, args.dimension, 9))
            started = time.perf_counter()
            searcher.start()
            if settings is None:
                time.sleep(5)
            else:
                replace_all(database.collection("docs"), settings, new)
            took = time.perf_counter() - started
            searcher.enough.set()
            searcher.join()
            print(line(name, searcher.seconds, took), flush=True)
        database.close()


if __name__ == "__main__":
    main()
