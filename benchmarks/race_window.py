"""Measure how long, on each engine, an application's write may be lost between compare and write.

    python benchmarks/race_window.py --engine qdrant-edge --trials 200

While vectors are replaced, as a cycle does it: a batch a call of `Collection.write`, and as many
calls at once as the engine allows, another thread upserts some of the points at a random moment.
Written before the compare, a point is left alone; written after the write, it stays. In between it
is lost. The share that is lost, times how long all of it takes, is the window.
Engines: memory, qdrant-edge, qdrant-edge+mark, qdrant (at QDRANT_URL, or from QDRANT_BINARY; over
gRPC with QDRANT_PREFER_GRPC=1), milvus (at MILVUS_URI, or 2.3.5 from the wheel), milvus-lite.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import nudge_sync_qdrant_edge  # noqa: E402
from nudge_sync.base.in_flight import keep_in_flight  # noqa: E402
from nudge_sync.connector import Collection, Database, Float32, Points  # noqa: E402
from tests.support.applications import create_application  # noqa: E402
from tests.support.milvus_server import find_or_start_milvus  # noqa: E402
from tests.support.qdrant_server.address import find_or_start_qdrant  # noqa: E402
from tests.support.ram_disk import ram_folder  # noqa: E402
from tests.support.unit_vectors import make_unit_rows  # noqa: E402

MARK_SETTINGS = {"payload_mark": "_nudge_sync"}


@dataclass
class RaceResult:
    """The figures of one engine's trials."""

    engine: str
    rows: int
    raced: int = 0
    lost: int = 0
    trials: int = 0
    seconds: float = 0.0

    def format_line(self) -> str:
        milliseconds = 1000 * self.seconds / self.trials
        window = milliseconds * self.lost / self.raced
        return (
            f"{self.engine:18} {self.rows:6} {milliseconds:9.1f} {self.raced:6} {self.lost:6} "
            f"{window:10.2f}"
        )


@dataclass(frozen=True)
class Setting:
    """What is written in a trial, and how."""

    rows: int
    batch_size: int
    raced: int
    """Points that the other thread upserts at its moment."""
    dimension: int


def open_database(engine: str, path: Path, stack: ExitStack) -> tuple[Any, Database]:
    name = engine.removesuffix("+mark")
    finders = {"milvus": find_or_start_milvus, "qdrant": find_or_start_qdrant}
    server = stack.enter_context(finders[name]()) if name in finders else ""
    app = create_application(name, path, server)
    if engine.endswith("+mark"):
        return app, nudge_sync_qdrant_edge.connect({"path": str(path), **MARK_SETTINGS})
    return app, app.connect()


def run_race(engine: str, trials: int, setting: Setting) -> RaceResult:
    result = RaceResult(engine, setting.rows)
    with ExitStack() as stack:
        path = stack.enter_context(ram_folder())
        app, database = open_database(engine, path, stack)
        stack.callback(database.close)
        app.fill(database, make_unit_rows(setting.rows, setting.dimension, 0), "cosine")
        collection = database.collection("docs")
        rng = np.random.default_rng(1)
        pause = 0.0
        for trial in range(trials + 2):
            raced = rng.choice(setting.rows, setting.raced, replace=False).tolist()
            fresh = make_unit_rows(setting.raced, setting.dimension, 2 * trial + 8)
            upsert = partial(app.upsert, database, raced, fresh)
            new_vectors = make_unit_rows(setting.rows, setting.dimension, 2 * trial + 7)
            seconds = write_during_upsert(collection, new_vectors, setting, upsert, pause)
            pause = float(rng.uniform(0, seconds))
            # The first two warm up, and say how long it takes.
            if trial > 1:
                live_vectors = collection.read(raced).vectors
                is_lost = (live_vectors == new_vectors[raced]).all(axis=1)
                result.trials += 1
                result.raced += setting.raced
                result.lost += int(is_lost.sum())
                result.seconds += seconds
    return result


def write_during_upsert(
    collection: Collection,
    new_vectors: Float32,
    setting: Setting,
    upsert: Callable[[], None],
    pause: float,
) -> float:
    """Replace all vectors while a thread upserts after `pause`; return the write's seconds."""
    ids = list(range(len(new_vectors)))
    live_vectors = collection.read(ids).vectors
    parts = [
        slice(start, start + setting.batch_size) for start in range(0, len(ids), setting.batch_size)
    ]
    calls = [
        partial(collection.write, Points(ids[part], new_vectors[part]), live_vectors[part])
        for part in parts
    ]
    limit = collection.describe().parallel_calls
    timer = Timer(pause, upsert)
    timer.start()
    started = time.perf_counter()
    keep_in_flight(calls, limit, lambda report: None)
    seconds = time.perf_counter() - started
    timer.join()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", action="append")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--raced", type=int, default=20)
    parser.add_argument("--dimension", type=int, default=384)
    args = parser.parse_args()
    setting = Setting(args.rows, args.batch, args.raced, args.dimension)
    print(f"{'engine':18} {'rows':>6} {'all, ms':>9} {'raced':>6} {'lost':>6} {'window, ms':>10}")
    for engine in args.engine or ["memory", "qdrant-edge", "qdrant-edge+mark"]:
        print(run_race(engine, args.trials, setting).format_line(), flush=True)


if __name__ == "__main__":
    main()
