"""Run the daemon over many collections: cycles a minute, and memory.

    python benchmarks/many_collections.py [--engine qdrant-edge|qdrant] [--collections 200]
                                          [--points 500] [--queries 300] [--parallel 4]

`qdrant` is a server at QDRANT_URL, or one of its own from QDRANT_BINARY. Every collection gets
random points, and searches with a label each on a point nearby. First cycles of a few collections
run in a loop, each on a connection of its own: the bare operation. Then the daemon runs a round
over the others, and two more; feedback of the last hour counts as new, so those run whole too.
Memory is this process's, after each round; an embedded engine's counts. That lies in a temporary
folder on a disk (TMPDIR names another): 100 MB a collection, mostly empty.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import nudge_sync_qdrant  # noqa: E402
import nudge_sync_qdrant_edge  # noqa: E402
from nudge_sync import cycle  # noqa: E402
from nudge_sync.base.signals import StopRequest  # noqa: E402
from nudge_sync.config import Config  # noqa: E402
from nudge_sync.connector import Database, connect  # noqa: E402
from nudge_sync.feedback.schema.records import (  # noqa: E402
    Event,
    Search,
    to_event_record,
    to_search_record,
)
from nudge_sync.serve.daemon import Daemon  # noqa: E402
from nudge_sync.store.target import open_target  # noqa: E402
from tests.support.qdrant_server.address import find_or_start_qdrant  # noqa: E402
from tests.support.unit_vectors import make_unit_rows, normalise_rows  # noqa: E402

DIMENSION = 64
NOISE = 2.0
"""Length of the noise between a point and a query that it answers."""
BARE_COLLECTIONS = 20
JUDGED = 8
"""One of so many points is ever judged."""


def fill_collection(
    database: Database, engine: str, name: str, points: int, queries: int, seed: int
) -> None:
    """Make a collection of random points, and searches with a label each."""
    vectors = make_unit_rows(points, DIMENSION, seed)
    module = {"qdrant": nudge_sync_qdrant, "qdrant-edge": nudge_sync_qdrant_edge}[engine]
    module.ingest(database, name, range(points), vectors)
    random = np.random.default_rng(seed)
    answers = random.integers(0, max(1, points // JUDGED), queries)
    noise = make_unit_rows(queries, DIMENSION, seed + 1) * NOISE
    asked = normalise_rows(vectors[answers] + noise)
    target = open_target(database, name)
    names = [f"q{row}" for row in range(queries)]
    searches = [Search(name, vector) for name, vector in zip(names, asked, strict=True)]
    events = [
        Event(name, "relevant", int(point)) for name, point in zip(names, answers, strict=True)
    ]
    target.queries.put([to_search_record(search) for search in searches])
    target.events.put([to_event_record(event) for event in events])


def count_cycles(daemon: Daemon) -> dict[str, float]:
    """Return how many cycles ended, by outcome."""
    counts: dict[str, float] = {}
    for family in text_string_to_metric_families(daemon.render_metrics().decode()):
        for sample in family.samples:
            if sample.name == "nudge_sync_cycles_total" and sample.value:
                outcome = sample.labels["outcome"]
                counts[outcome] = counts.get(outcome, 0) + sample.value
    return counts


def run_round(daemon: Daemon, count: int) -> str:
    """Have every collection run once, and describe the time and the memory that took."""
    before = count_cycles(daemon)
    start = time.perf_counter()
    running = daemon.running_schedule
    assert running is not None
    running.replace_jobs(daemon.schedules, {}, run_at_start=True)
    while sum(count_cycles(daemon).values()) - sum(before.values()) < count:
        time.sleep(0.2)
    seconds = time.perf_counter() - start
    outcomes = {
        outcome: int(value - before.get(outcome, 0))
        for outcome, value in count_cycles(daemon).items()
        if value > before.get(outcome, 0)
    }
    return f"{describe(seconds, count)}   {outcomes}"


def describe(seconds: float, count: int) -> str:
    rate = 60 * count / seconds
    return f"{seconds:7.1f} s  {rate:7.0f} cycles a minute  {read_memory():6.0f} MiB"


def read_memory() -> float:
    """Return the MiB that this process has in memory (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


@contextmanager
def open_section(engine: str) -> Iterator[dict[str, Any]]:
    """Yield the [database] table of an engine of this run's own."""
    if engine == "qdrant":
        with find_or_start_qdrant() as server:
            yield {"connector": engine, **server}
        return
    with TemporaryDirectory() as folder:
        yield {"connector": engine, "path": folder}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="qdrant-edge", choices=("qdrant-edge", "qdrant"))
    parser.add_argument("--collections", type=int, default=200)
    parser.add_argument("--points", type=int, default=500)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--parallel", type=int, default=4)
    options = parser.parse_args()
    logging.getLogger("nudge_sync").setLevel(logging.ERROR)
    names = [f"docs{number}" for number in range(options.collections)]
    with open_section(options.engine) as section:
        bare_names = [f"bare_{name}" for name in names[:BARE_COLLECTIONS]]
        for seed, name in enumerate([*names, *bare_names]):
            with open_database(section) as database:
                fill_collection(
                    database, options.engine, name, options.points, options.queries, seed
                )
        config = Config.model_validate(
            {
                "database": section,
                "collections": {name: {"schedule": {"every": "365d"}} for name in names},
                "serve": {"max_parallel": options.parallel},
            }
        )
        print(f"filled     {read_memory():6.0f} MiB")
        start = time.perf_counter()
        for name in bare_names:
            with open_database(section) as database:
                cycle.apply(open_target(database, name), config.collections[names[0]])
        print(f"loop       {describe(time.perf_counter() - start, len(bare_names))}")
        daemon = Daemon(config, StopRequest())
        start = time.perf_counter()
        with daemon.run_schedule(run_at_start=False):
            print(f"ready in   {time.perf_counter() - start:7.1f} s")
            for number in range(1, 4):
                print(f"round {number}    {run_round(daemon, len(names))}", flush=True)


def open_database(section: dict[str, Any]) -> closing[Database]:
    """Return a connection; an embedded engine keeps all that it opened in memory until it ends."""
    settings = {name: value for name, value in section.items() if name != "connector"}
    return closing(connect(section["connector"], settings))


if __name__ == "__main__":
    main()
