"""Compare the rate of `Collection.write` with that of the bare client's update.

    python benchmarks/write_rate.py --engine edge
    python benchmarks/write_rate.py --engine milvus
    python benchmarks/write_rate.py --engine qdrant

`write` compares before, and reads back after. Both run in one process, in turns, on one collection
and with the same batches; the median of the rounds counts. The bare client sends a batch as one
request, and then the next; of `write` as many calls are under way as the collection allows, as in
a cycle, and each may divide its batch. An engine is a module `common/write_rate_<name>.py` with a
function `open_engine(points, dimension) -> Engine`.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from nudge_sync.base.in_flight import keep_in_flight  # noqa: E402
from nudge_sync.connector import Collection, Float32, PointId, Points  # noqa: E402
from tests.support.unit_vectors import make_unit_rows  # noqa: E402


@dataclass
class Engine:
    """An open, filled collection: ids 0 to n - 1."""

    name: str
    target_share: float
    """The least share of the bare rate that `write` should reach."""
    collection: Collection
    update: Callable[[Sequence[int], Float32], None]
    """The bare client's update of one batch."""
    close: Callable[[], None]
    batch_size: int = 1000


@dataclass
class Round:
    """How long each part of one round took, in seconds."""

    bare: float
    read: float
    write: float


def measure_round(engine: Engine, ids: Sequence[int], dimension: int, seed: int) -> Round:
    bare_vectors, new_vectors = (
        make_unit_rows(len(ids), dimension, seed + each) for each in (0, 1)
    )
    batches = list(_split_batches(ids, engine.batch_size))
    started = time.perf_counter()
    for part, chosen in batches:
        engine.update(chosen, bare_vectors[part])
    bare = time.perf_counter() - started
    started = time.perf_counter()
    live = [engine.collection.read(chosen).vectors for _, chosen in batches]
    read = time.perf_counter() - started
    started = time.perf_counter()
    written: list[PointId] = []
    keep_in_flight(
        (
            partial(engine.collection.write, Points(chosen, new_vectors[part]), expected)
            for (part, chosen), expected in zip(batches, live, strict=True)
        ),
        engine.collection.describe().parallel_calls,
        lambda report: written.extend(report.written),
    )
    write = time.perf_counter() - started
    assert len(written) == len(ids)
    return Round(bare, read, write)


def _split_batches(ids: Sequence[int], size: int) -> Iterator[tuple[slice, list[int]]]:
    for start in range(0, len(ids), size):
        yield slice(start, start + size), list(ids[start : start + size])


def format_table(rounds: Sequence[Round], rows: int) -> str:
    bare, read, write = (
        statistics.median(getattr(each, name) for each in rounds) for name in Round.__annotations__
    )
    parts = [
        ("bare client's update", bare),
        ("write: all of it", write),
        ("  of that: compare, a read of all rows", read),
        ("  of that: the update itself", bare),
        ("  of that: read-back of all rows", read),
        ("  of that: checks and the rest", write - bare - 2 * read),
    ]
    lines = [f"{'':40}{'rows/s':>10}{'us/row':>10}{'of bare':>10}"]
    for label, seconds in parts:
        rate = f"{rows / seconds:,.0f}" if seconds > 0 else "-"
        lines.append(f"{label:40}{rate:>10}{seconds / rows * 1e6:10.1f}{seconds / bare:10.2f}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--engine", default="edge")
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    module = importlib.import_module(f"common.write_rate_{given.engine}")
    engine: Engine = module.open_engine(given.points, given.dimension)
    try:
        ids = np.random.default_rng(0).permutation(given.points)[: given.rows].tolist()
        rounds = [
            measure_round(engine, ids, given.dimension, 2 * each) for each in range(given.rounds)
        ]
    finally:
        engine.close()
    bare_share = statistics.median(each.bare / each.write for each in rounds)
    print(f"{engine.name}: {given.points:,} x {given.dimension}, {given.rows:,} rows written")
    print(format_table(rounds, given.rows))
    print(
        f"write reaches {bare_share:.0%} of the bare rate; the target is {engine.target_share:.0%}"
    )
    return 0 if bare_share >= engine.target_share else 1


if __name__ == "__main__":
    sys.exit(main())
