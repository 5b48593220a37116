"""Measure how long another client's searches take while the sidecar writes, paced or not.

    python benchmarks/live_latency.py --engine qdrant-edge --points 20000
    python benchmarks/live_latency.py --engine milvus      (at MILVUS_URI, or a server of its own)

One thread searches all the time, as an application does: on Milvus through pymilvus with bounded
staleness, its default, since the sidecar's own searches wait for the server's clock. The other
replaces vectors: none, as fast as it can, or at `write.rate` rows a second in batches of 100. Each
of the three lasts `--seconds`, and longer until there were `--searches`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
from pymilvus import MilvusClient

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from nudge_sync.base.progress import ignore_progress  # noqa: E402
from nudge_sync.config import WriteSettings  # noqa: E402
from nudge_sync.connector import Collection, Float32, Points  # noqa: E402
from nudge_sync.writing.pacing import Pacer  # noqa: E402
from tests.support.applications import create_application  # noqa: E402
from tests.support.milvus_server import find_or_start_milvus  # noqa: E402
from tests.support.ram_disk import ram_folder  # noqa: E402
from tests.support.unit_vectors import make_unit_rows  # noqa: E402

Search = Callable[[Float32], object]


class Searcher(Thread):
    """A thread that searches until it is stopped, and keeps how long each search took."""

    def __init__(self, search: Search, queries: Float32) -> None:
        super().__init__(daemon=True)
        self.search, self.queries = search, queries
        self.stop_requested, self.durations = Event(), []

    def run(self) -> None:
        number = 0
        while not self.stop_requested.is_set():
            started = time.perf_counter()
            self.search(self.queries[number % len(self.queries)])
            self.durations.append(time.perf_counter() - started)
            number += 1


def replace_vectors(
    collection: Collection, settings: WriteSettings, vectors: Float32
) -> Iterator[int]:
    """Write every vector again and again, as a plan is written; yield the rows of each batch.

    Without `write.rate` it does not wait for an index that falls behind either.
    """
    pace = Pacer(collection, settings, ignore_progress)
    shift = 0
    while True:
        shift += 1
        new_vectors = np.roll(vectors, shift, axis=0)
        for start in range(0, len(new_vectors), settings.batch_size):
            ids = list(range(start, min(start + settings.batch_size, len(new_vectors))))
            if settings.rate:
                pace.wait(len(ids))
            live_vectors = collection.read(ids).vectors
            collection.write(Points(ids, new_vectors[ids]), live_vectors)
            yield len(ids)


def write_nothing() -> Iterator[int]:
    """Write nothing; yield 0 five times a second."""
    while True:
        time.sleep(0.2)
        yield 0


def measure_latency(
    searcher: Searcher, work: Iterator[int], seconds: float, min_searches: int
) -> str:
    """Search and write for that time; return a line of figures."""
    started, rows = time.perf_counter(), 0
    searcher.start()
    while time.perf_counter() - started < seconds or len(searcher.durations) < min_searches:
        rows += next(work)
    took = time.perf_counter() - started
    searcher.stop_requested.set()
    searcher.join()
    points = (1000 * float(np.quantile(searcher.durations, q)) for q in (0.5, 0.95, 0.99))
    figures = " ".join(f"{point:8.1f}" for point in points)
    return f"{len(searcher.durations):8} {figures} {rows / took:9.0f}"


def make_search(engine: str, database: Any, uri: str) -> Search:
    """Return a search for ten points, made as an application of that engine makes it."""
    if engine != "milvus":
        collection = database.collection("docs")
        return lambda query: collection.search(query[None], 10)
    client = MilvusClient(uri, dedicated=True)
    options = {"limit": 10, "search_params": {"params": {"ef": 64}}, "consistency_level": "Bounded"}
    return lambda query: client.search("docs", [query.tolist()], **options)


def measure_each_way(engine: str, path: Path, uri: str, args: argparse.Namespace) -> Iterator[str]:
    """Yield a line for each way of writing."""
    app = create_application(engine, path, uri)
    database: Any = app.connect()
    vectors = make_unit_rows(args.points, args.dimension, 0)
    app.fill(database, vectors, "cosine")
    collection = database.collection("docs")
    search = make_search(engine, database, uri)
    paced = WriteSettings(rate=args.rate, batch_size=100)
    for name, work in (
        ("nothing is written", write_nothing()),
        ("written at full speed", replace_vectors(collection, WriteSettings(), vectors)),
        (f"paced, {args.rate:g} rows/s", replace_vectors(collection, paced, vectors)),
    ):
        searcher = Searcher(search, make_unit_rows(100, args.dimension, 9))
        yield f"{name:26} {measure_latency(searcher, work, args.seconds, args.searches)}"
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=["qdrant-edge", "milvus"], default="qdrant-edge")
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--searches", type=int, default=500)
    args = parser.parse_args()
    with ExitStack() as stack:
        path = stack.enter_context(ram_folder())
        uri = stack.enter_context(find_or_start_milvus()) if args.engine == "milvus" else ""
        print(f"{args.engine}, {args.points} points of {args.dimension} numbers")
        print(f"{'':26} searches  p50, ms  p95, ms  p99, ms    rows/s", flush=True)
        for line in measure_each_way(args.engine, path, uri, args):
            print(line, flush=True)


if __name__ == "__main__":
    main()
