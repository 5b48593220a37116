"""Measure what an experiment adds to a search: the bare client, `rank`, and `search`, in turn.

    python benchmarks/experiment_overhead.py --engine qdrant-edge [--points 100000]
                                             [--moved 2000 50000] [--searches 300] [--flat]
    python benchmarks/experiment_overhead.py --engine qdrant    (at QDRANT_URL, or QDRANT_BINARY)
    python benchmarks/experiment_overhead.py --engine milvus    (at MILVUS_URI, or one of its own)

A canary with overlays of `--moved` points stands beside one collection of `--points` unit vectors:
those in `--data`, a folder with `*/documents.npy`, each with noise of 0.7 of its length added, or
random ones. Queries are made alike. The application asks for 10 results through its own client.
"rank" asks for as many as `depth` says and has them ranked; "search" goes through the connector.
"arm" are sessions whose list is changed, "traffic" all sessions at the canary's share. The order of
the ways changes with every query, so that load on the machine meets all of them alike. `--flat`
leaves qdrant-edge without its index, as it is until the application optimises the shard. "cpu" is
the processor time of this process, which other load hardly changes, an embedded engine's included.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus import MilvusClient
from qdrant_edge import Query, QueryRequest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from nudge_sync.connector import Database, Float32  # noqa: E402
from nudge_sync.experiment.assign import is_chosen  # noqa: E402
from nudge_sync.experiment.experiment import Experiment  # noqa: E402
from nudge_sync.store.experiments.candidate import drop_candidate, stage_candidate  # noqa: E402
from nudge_sync.store.experiments.running import end_experiment, start_experiment  # noqa: E402
from nudge_sync.store.lease import hold_lease  # noqa: E402
from nudge_sync.store.target import open_target  # noqa: E402
from tests.support.applications import create_application  # noqa: E402
from tests.support.milvus_server import find_or_start_milvus  # noqa: E402
from tests.support.qdrant_server.address import find_or_start_qdrant  # noqa: E402
from tests.support.ram_disk import ram_folder  # noqa: E402
from tests.support.unit_vectors import make_unit_rows, normalise_rows  # noqa: E402

K = 10
NOISE = 0.7
SHARE = 0.05
Search = Callable[[Float32, int], list[Any]]


def make_vectors(count: int, data: Path | None, dimension: int, seed: int) -> Float32:
    """Return unit vectors (count, d): those of `data` with noise, or random ones."""
    if data is None:
        return make_unit_rows(count, dimension, seed)
    rows = np.concatenate([np.load(path) for path in sorted(data.glob("*/documents.npy"))])
    rng = np.random.default_rng(seed)
    chosen = rows[rng.integers(0, len(rows), count)]
    noise = rng.normal(size=chosen.shape).astype(np.float32) * NOISE / np.sqrt(rows.shape[1])
    return normalise_rows(chosen + noise)


def open_client(engine: str, application: Any, database: Any, stack: ExitStack) -> Search:
    """Return the search of the application's own client."""
    if engine == "milvus":
        client = stack.enter_context(closing(MilvusClient(application.uri, dedicated=True)))
        return lambda query, limit: client.search("docs", [query.tolist()], limit=limit)[0]
    if engine == "qdrant":
        qdrant = database.connection.client
        return lambda query, limit: (
            (
                qdrant.query_points("docs", query=query.tolist(), limit=limit, with_payload=False)
            ).points
        )
    if engine == "qdrant-edge":
        shard = database.shard("docs")
        return lambda query, limit: shard.query(
            QueryRequest(limit=limit, query=Query.Nearest(query.tolist(), None))
        )
    collection = database.collection("docs")

    def search(query: Float32, limit: int) -> list[Any]:
        hits = collection.search(query[None], limit)
        return list(zip(hits.ids[0], hits.scores[0].tolist(), strict=True))

    return search


def stage(database: Database, moved: int, seed: int) -> Any:
    """Stage a canary of `moved` points, each turned by 0.3 radians, and start it."""
    target = open_target(database, "docs")
    ids: list[Any] = list(range(moved))
    live = target.collection.read(ids).vectors
    directions = make_unit_rows(moved, live.shape[1], seed)
    turned = normalise_rows(np.cos(0.3) * live + np.sin(0.3) * directions)
    rows = stage_candidate(target, 1, ids, vectors=turned, replaced=live, originals=live)
    return start_experiment(target, "canary", 1, SHARE, rows=rows)


def draw_sessions(running: Any) -> tuple[Iterator[str], Iterator[str]]:
    """Return sessions whose list is changed, and sessions as they come."""
    names = [f"s{number}" for number in range(20_000)]
    chosen = [name for name in names if is_chosen(running.key, name, running.share)]
    return _repeat(chosen), _repeat(names)


def _repeat(names: list[str]) -> Iterator[str]:
    while True:
        yield from names


def measure(
    experiment: Experiment, search: Search, queries: Float32, running: Any
) -> dict[str, list[tuple[float, float]]]:
    """Return the seconds of each search, by the clock and of the processor, for each way."""
    arm_sessions, all_sessions = draw_sessions(running)

    def rank(query: Float32, session: str) -> None:
        depth = experiment.depth(K, session=session)
        experiment.rank(
            query,
            search(query, depth),
            K,
            session=session,
            limit=depth,
            more=lambda limit: search(query, limit),
        )

    ways: dict[str, Callable[[Float32], object]] = {
        "bare": lambda query: search(query, K),
        "rank, arm": lambda query: rank(query, next(arm_sessions)),
        "rank, traffic": lambda query: rank(query, next(all_sessions)),
        "search, arm": lambda query: experiment.search(query, K, session=next(arm_sessions)),
        "search, traffic": lambda query: experiment.search(query, K, session=next(all_sessions)),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    names = list(ways)
    for number, query in enumerate(queries):
        for name in np.roll(names, number % len(names)):
            started, cpu_started = time.perf_counter(), time.process_time()
            ways[name](query)
            taken = time.perf_counter() - started, time.process_time() - cpu_started
            seconds[name].append(taken)
    return seconds


def show(
    engine: str, moved: int, seconds: dict[str, list[tuple[float, float]]], counts: Any
) -> None:
    """Print p50 and p95 of each way, and their ratios to the bare client's."""
    bare = np.quantile(seconds["bare"], [0.5, 0.95], axis=0)
    for name, taken in seconds.items():
        p50, p95 = np.quantile(taken, [0.5, 0.95], axis=0)
        ratios = " ".join(f"{value:5.2f}" for value in (p50[0] / bare[0, 0], p95[0] / bare[1, 0]))
        print(
            f"{engine:12} {moved:6} moved  {name:16} p50 {p50[0] * 1e3:8.2f} ms  "
            f"p95 {p95[0] * 1e3:8.2f} ms  ratio {ratios}  "
            f"cpu {p50[1] * 1e3:7.2f} ms  ratio {p50[1] / bare[0, 1]:5.2f}"
        )
    print(f"{engine:12} {moved:6} moved  arms {counts.searches}, fallbacks {counts.fallbacks}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="qdrant-edge")
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--moved", type=int, nargs="+", default=[2000, 50_000])
    parser.add_argument("--searches", type=int, default=300)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--flat", action="store_true")
    args = parser.parse_args()
    with ExitStack() as stack:
        server: Any = ""
        if args.engine == "milvus":
            server = stack.enter_context(find_or_start_milvus())
        if args.engine == "qdrant":
            server = stack.enter_context(find_or_start_qdrant())
        folder = stack.enter_context(ram_folder())
        application = create_application(args.engine, Path(folder), server)
        database = application.connect()
        stack.callback(database.close)
        vectors = make_vectors(args.points, args.data, args.dimension, 0)
        application.fill(database, vectors, "cosine")
        if not args.flat:
            wait_until_indexed(args.engine, database)
        queries = make_vectors(args.searches + 20, args.data, vectors.shape[1], 1)
        search = open_client(args.engine, application, database, stack)
        for moved in args.moved:
            running = stage(database, moved, 2)
            with Experiment(database, "docs", deadline=1.0) as experiment:
                if not experiment.wait_until_ready(300):
                    raise SystemExit(experiment.counts.last_error)
                measure(experiment, search, queries[:20], running)
                seconds = measure(experiment, search, queries[20:], running)
                show(args.engine, moved, seconds, experiment.counts)
            target = open_target(database, "docs")
            end_experiment(target)
            with hold_lease(target, 60) as lease:
                drop_candidate(target, lease)


def wait_until_indexed(engine: str, database: Database) -> None:
    """Have the index built, so that the bare search is as quick as it gets."""
    if engine == "qdrant-edge":
        database.shard("docs").optimize()  # type: ignore[attr-defined]
    end = time.monotonic() + 600
    while not database.collection("docs").health().ready:
        if time.monotonic() > end:
            raise SystemExit("no index after ten minutes; --flat measures without one")
        time.sleep(1)


if __name__ == "__main__":
    main()
