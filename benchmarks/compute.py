"""Make one plan here and on 1, 2 and 4 workers of a Dask cluster on this machine.

python benchmarks/compute.py [--set nfcorpus|metatool|cranfield|squad] [--workers 1 2 4]
    [--threads 1] [--made-up POINTS QUERIES] [--tasks] [--worth]

Every judgement of the set is a label in a collection in memory. Each plan is compared with the one
made here, bit for bit. `start` is until the workers of the cluster are there, which each cycle
waits for; `solve` is the rest of what an engine changes. Each task computes on `--threads` threads:
so many workers times so many threads at once, which has to be seen beside the cores that are named.
`busy` is what all of it took of processors, the rest of the plan included; workers that had to be
killed in the middle of a task are not counted.
`--made-up` takes random points, each with a few queries near it, instead of a set.
`--tasks` lists the tasks of the choice and the fit, one after the other: seconds, and bytes that go
to a worker and come back. The longest of a round is the least that the round takes.
`--worth` prints what else could be sent, beside what it costs to send it: to take records of events
apart, and to pickle them; the click model; and to compare unjudged points with queries.
"""

from __future__ import annotations

import argparse
import pickle
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common.solver_protocol import SETS, Dataset, load_dataset, normalise_rows
from feedback_scale import SyntheticEvents, SyntheticSearches
from scipy.sparse import csr_matrix

from nudge_sync import cycle
from nudge_sync.base.threads import count_cores, limit_threads
from nudge_sync.config import CollectionSettings, SolverSettings
from nudge_sync.feedback.clicks.pipeline import estimate_relevance
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.log.validation import RecordValidator
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.metrics import RANKING_DEPTH
from nudge_sync.planning.held_out import HELD_OUT_SHARE, hash_queries
from nudge_sync.planning.plan import Plan
from nudge_sync.settings.compute import ComputeSettings
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.solve.fit import fit
from nudge_sync.solve.problem import BUCKET_COUNT, JudgedQueries
from nudge_sync.solve.topk import find_top_k
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.memory import MemoryDatabase

DIMENSION = 384
QUERY_NOISE = 1.2
"""Length of the noise between a made-up point and a query that it answers."""
COLD_SHARE = 0.5
WORTH_EVENTS, WORTH_QUERIES, WORTH_POINTS = 200_000, 10_000, 16_000


def make_dataset(point_count: int, query_count: int) -> Dataset:
    random = np.random.default_rng(0)
    points = normalise_rows(random.normal(size=(point_count, DIMENSION)).astype(np.float32))
    answers = random.integers(0, point_count, query_count)
    noise = normalise_rows(random.normal(size=(query_count, DIMENSION)))
    queries = normalise_rows(points[answers] + QUERY_NOISE * noise).astype(np.float32)
    shape = (query_count, point_count)
    return Dataset(
        points, queries, csr_matrix((np.ones(query_count), (range(query_count), answers)), shape)
    )


def fill_collection(data: Dataset) -> Target:
    database = MemoryDatabase()
    database.store.create("docs", data.documents.shape[1], "cosine")
    database.store.upsert("docs", list(range(len(data.documents))), data.documents)
    target = open_target(database, "docs")
    searches = [Search(f"q{row}", vector) for row, vector in enumerate(data.queries)]
    target.queries.put([to_search_record(search) for search in searches])
    edges = data.relevance.tocoo()
    events = [
        Event(f"q{row}", "relevant", int(column), grade=float(grade))
        for row, column, grade in zip(edges.row, edges.col, edges.data, strict=True)
    ]
    target.events.put([to_event_record(event) for event in events])
    return target


class StageClock:
    """A `Progress` that keeps the moments at which solving began and workers had started."""

    def __init__(self) -> None:
        self.solve_began = self.workers_started = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.perf_counter()
        if stage == "solve" and not done:
            self.solve_began = self.workers_started = now
        elif stage == "start workers":
            self.workers_started = now


def list_contents(plan: Plan) -> list[Any]:
    rows = plan.rows
    return [
        rows.ids,
        rows.vectors.tobytes(),
        rows.angles,
        rows.live_digests,
        plan.figures,
        plan.gate,
        plan.inputs_digest,
    ]


def read_busy_seconds() -> float:
    """Return the seconds of processor that this process and its ended children have used."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def compare_plans(target: Target, threads: int, worker_counts: list[int]) -> None:
    print(f"{count_cores()} cores, {threads} threads a task")
    titles = ("plan s", "start s", "solve s", "here / it", "busy s")
    print(f"{'engine':16}{''.join(f'{title:>11}' for title in titles)}  equal")
    expected: list[Any] = []
    solve_here = 0.0
    for workers in (0, *worker_counts):
        compute = ComputeSettings(engine="dask", workers=workers) if workers else ComputeSettings()
        settings = CollectionSettings(solver=SolverSettings(threads=threads), compute=compute)
        clock, start, busy = StageClock(), time.perf_counter(), read_busy_seconds()
        plan = cycle.plan(target, settings, clock)
        end, busy = time.perf_counter(), read_busy_seconds() - busy
        solve = end - clock.workers_started
        expected = expected or list_contents(plan)
        solve_here = solve_here or solve
        begin = clock.workers_started - clock.solve_began
        figures = (end - start, begin, solve, solve_here / solve, busy)
        name = f"dask, {workers} workers" if workers else "here"
        is_equal = list_contents(plan) == expected
        print(
            f"{name:16}{''.join(f'{figure:11.2f}' for figure in figures)}  {is_equal}", flush=True
        )


class MeasuringExecutor:
    """Runs tasks here, and prints what each takes and what would travel."""

    def map(self, work: Callable[[Any, Any], Any], shared: Any, items: Any) -> Any:
        print(f"{work.__name__}: {len(items)} tasks share {size_mb(shared):.1f} MB")
        for item in items:
            start = time.perf_counter()
            result = work(shared, item)
            seconds = time.perf_counter() - start
            name = getattr(item, "method", item[1] if isinstance(item, tuple) else "")
            print(
                f"  {name:10}{seconds:8.2f} s{size_mb(item):8.2f} MB there"
                f"{size_mb(result):8.2f} MB back"
            )
            yield result


def size_mb(value: Any) -> float:
    return len(pickle.dumps(value, pickle.HIGHEST_PROTOCOL)) / 1e6


def measure_tasks(data: Dataset, threads: int) -> None:
    hashes = hash_queries(data.queries)
    train = hashes >= HELD_OUT_SHARE
    unjudged = np.full((int(train.sum()), RANKING_DEPTH), -np.inf, np.float32)
    fit(
        data.documents,
        JudgedQueries(data.queries[train], csr_matrix(data.relevance[train]), unjudged),
        ((hashes[train] - HELD_OUT_SHARE) / (1 - HELD_OUT_SHARE) * BUCKET_COUNT).astype(np.int64),
        cold_share=COLD_SHARE,
        threads=threads,
        executor=MeasuringExecutor(),
    )


def measure_worth() -> None:
    stores = [
        kind(WORTH_EVENTS, WORTH_QUERIES, 10, False)
        for kind in (SyntheticSearches, SyntheticEvents)
    ]
    batches = list(stores[1].scan())
    start = time.perf_counter()
    for batch in batches:
        RecordValidator().validate_events(batch)
    parsed = time.perf_counter()
    for batch in batches:
        pickle.loads(pickle.dumps(batch, pickle.HIGHEST_PROTOCOL))
    pickled = time.perf_counter()
    print(f"{WORTH_EVENTS} events: {parsed - start:.2f} s to take records apart,", end=" ")
    print(f"{pickled - parsed:.2f} s to pickle them there and back")
    log = load_log(*stores, FeedbackSettings(), DIMENSION)
    read = time.perf_counter()
    with limit_threads(1):
        estimate_relevance(log, FeedbackSettings())
    print(f"{read - pickled:.2f} s to read them with their searches,", end=" ")
    print(f"{time.perf_counter() - read:.2f} s for the click model")
    data = make_dataset(WORTH_POINTS, WORTH_QUERIES)
    start = time.perf_counter()
    with limit_threads(1):
        find_top_k(data.queries, data.documents, RANKING_DEPTH)
    print(
        f"{WORTH_QUERIES} queries against {WORTH_POINTS} unjudged points: "
        f"{time.perf_counter() - start:.2f} s here, "
        f"{(data.queries.nbytes + data.documents.nbytes) / 1e6:.0f} MB to send"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", default="nfcorpus", choices=SETS)
    parser.add_argument("--made-up", nargs=2, type=int, metavar=("POINTS", "QUERIES"))
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 2, 4])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tasks", action="store_true")
    parser.add_argument("--worth", action="store_true")
    arguments = parser.parse_args()
    if arguments.worth:
        measure_worth()
        return
    data = make_dataset(*arguments.made_up) if arguments.made_up else load_dataset(arguments.set)
    print(f"{len(data.documents)} points, {len(data.queries)} queries")
    if arguments.tasks:
        measure_tasks(data, arguments.threads)
    else:
        compare_plans(fill_collection(data), arguments.threads, arguments.workers)


if __name__ == "__main__":
    main()
