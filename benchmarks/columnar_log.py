"""A log in Parquet files turned into judgements, beside a bare group-by of DuckDB over its columns.

python benchmarks/columnar_log.py [--events 1000000] [--queries 10000] [--shown 10]
                                  [--dimension 384] [--folder FOLDER] [--no-records] [--digest]
                                  [--whole] [--groups] [--no-baseline]

Makes up searches and clicks, two a search, as Parquet files, unless the folder has them already.
Then three processes, so that each has a peak of its own: DuckDB alone, which groups the clicks by
query, point and action and reads every column of the searches; `load_log`, column by column, and
the click model after it; and the same record by record, of the first files alone (not with
`--no-records`).
With `--no-baseline` DuckDB alone is left out, which takes 270 bytes an event.
Prints seconds, rows a second, their ratio to DuckDB alone, and the peak memory of each process
above what it had before reading, also for each event: its own memory, and with the pages of mapped
files, which the system takes back when it needs them; and the size of temporary files. With
`--digest` also a digest of every bit that the click model says. With `--whole` also the same log
all in memory, in one part.
`--groups` asks instead what a log would shrink to if DuckDB counted its clicks: one row for each
query vector, point, rank and client that a click has, and the same without clients.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from threading import Event, Thread
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from common.memory import MemoryPeak, watch_memory

from nudge_sync.base import spooled
from nudge_sync.base.threads import count_cores
from nudge_sync.feedback.clicks.pipeline import estimate_relevance
from nudge_sync.feedback.clicks.relevance import PairRelevance
from nudge_sync.feedback.judgements import build_judgements
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.log.load import load_log
from nudge_sync.settings.feedback import EventLog, FeedbackSettings, SearchLog
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore

CLICKS, POINTS, BLOCK = 2, 100_000, 500_000
BEFORE = MemoryPeak()
"""What this process has before it reads anything."""
BEFORE.look()
CLICK_ROWS = """
    SELECT format('search {:012d}', number) AS query_id, point, 'click' AS action, rank AS position,
        make_timestamp(1700000000000000 + number * 1000000) AS time,
        format('session {}', number // 3) AS session, format('client {}', number // 9) AS client
    FROM clicks
"""
SEARCH_ROWS = """
    SELECT format('search {:012d}', number) AS query_id, vector, shown,
        make_timestamp(1700000000000000 + number * 1000000) AS time,
        format('session {}', number // 3) AS session, format('client {}', number // 9) AS client
    FROM searches
"""
GROUP_CLICKS = """
    SELECT count(*), sum(clicks), max(newest), sum(positions), max(session), max(client) FROM (
        SELECT query_id, point, action, count(*) AS clicks, max(time) AS newest,
            sum(position) AS positions, max(session) AS session, max(client) AS client
        FROM read_parquet('{}/events-*.parquet') GROUP BY query_id, point, action)
"""
COUNT_GROUPS = """
    SELECT count(*) FROM (SELECT DISTINCT vector, point, position{clients} FROM
        read_parquet('{folder}/events-*.parquet') AS clicks JOIN (
            SELECT query_id, hash(vector) AS vector
            FROM read_parquet('{folder}/searches-*.parquet')) AS searches USING (query_id))
"""
READ_SEARCHES = """
    SELECT count(query_id), max(time), max(session), max(client), sum(list_sum(shown)),
        bit_xor(hash(vector)) FROM read_parquet('{}/searches-*.parquet')
"""


def write_log(folder: Path, events: int, queries: int, shown: int, dimension: int) -> None:
    """Write searches and clicks in files of `BLOCK` clicks each."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(queries, dimension)).astype(np.float32)
    lists = rng.integers(0, POINTS, (queries, shown))
    for start in range(0, events, BLOCK):
        number = np.arange(start, min(start + BLOCK, events)) // CLICKS
        search = np.unique(number)
        query = rng.integers(0, queries, len(search))
        rank = rng.integers(0, shown, len(number))
        point = lists[query[number - search[0]], rank]
        clicks = pa.table({"number": number, "point": point, "rank": rank + 1})
        searches = pa.table(
            {
                "number": search,
                "vector": pa.FixedSizeListArray.from_arrays(vectors[query].ravel(), dimension),
                "shown": pa.FixedSizeListArray.from_arrays(lists[query].ravel(), shown),
            }
        )
        with duckdb.connect() as connection:
            for name, rows, query_text in (
                ("events", clicks, CLICK_ROWS),
                ("searches", searches, SEARCH_ROWS),
            ):
                connection.register("clicks" if name == "events" else "searches", rows)
                connection.execute(f"COPY ({query_text}) TO '{folder}/{name}-{start:012d}.parquet'")


def group_by(folder: str) -> None:
    with duckdb.connect(config={"threads": min(count_cores(), 4)}) as connection:
        for query in (GROUP_CLICKS, READ_SEARCHES):
            connection.execute(query.format(folder)).fetchall()


def count_groups(folder: Path, args: argparse.Namespace) -> None:
    """Print how many rows are left of the clicks, grouped with the client and without."""
    with duckdb.connect(config={"threads": 1, "preserve_insertion_order": False}) as connection:
        for name, clients in (("client", ", clicks.client"), ("any client", "")):
            query_text = COUNT_GROUPS.format(folder=folder, clients=clients)
            [(left,)] = connection.execute(query_text).fetchall()
            print(f"by query, point, rank and {name}: {left} rows of {args.events} events")


class RecordByRecord:
    """Records of a log, which are read one by one even where it is a table."""

    def __init__(self, records: Any) -> None:
        self.scan, self.get = records.scan, records.get


def read_log(
    folder: str, dimension: int, *, by_columns: bool, files: str = "*"
) -> tuple[Log, FeedbackSettings]:
    store = MemoryStore()
    store.create("docs", dimension)
    target = open_target(MemoryDatabase(store), "docs")
    names = {name: name for name in ("query_id", "time", "session", "client")}
    settings = FeedbackSettings(
        searches=SearchLog(
            files=f"{folder}/searches-{files}.parquet", **names, vector="vector", shown="shown"
        ),
        events=EventLog(
            files=f"{folder}/events-{files}.parquet",
            **names,
            point="point",
            action="action",
            position="position",
        ),
    )
    feedback = open_feedback(target, settings)
    records: Any = (feedback.queries, feedback.events)
    if not by_columns:
        records = tuple(map(RecordByRecord, records))
    return load_log(*records, settings, dimension), settings


def digest_estimates(log: Log, settings: FeedbackSettings) -> str:
    """Return a digest of every bit that the click model says of queries and points."""
    estimates, digest = estimate_relevance(log, settings), hashlib.sha256()
    columns = [getattr(estimates.pairs, name) for name in PairRelevance.__slots__]
    for column in (*columns, estimates.weights, estimates.expected_gain):
        digest.update(column.tobytes())
    digest.update(repr((estimates.funnel, log.action_counts)).encode())
    return digest.hexdigest()[:16]


def measure(route: str, folder: str, dimension: int, *, with_digest: bool) -> None:
    """Run one route in this process, and print the figures of each of its steps as JSON."""
    with watch_step("DuckDB alone" if route == "duckdb" else "read") as step:
        if route == "duckdb":
            group_by(folder)
        else:
            by_columns = route != "records"
            if route == "whole":
                spooled.MEMORY_BYTES = spooled.ROWS_PER_PART = 2**62
            log, settings = read_log(
                folder, dimension, by_columns=by_columns, files="*" if by_columns else "0" * 12
            )
    print(json.dumps(step))
    if route != "duckdb":
        with watch_step("click model") as step:
            judgements = build_judgements(log, settings)
        print(f"{len(judgements)} judgements", file=sys.stderr)
        if with_digest:
            step["digest"] = digest_estimates(log, settings)
        print(json.dumps(step))


@contextmanager
def watch_step(name: str) -> Iterator[dict[str, Any]]:
    """Yield the figures of what is done inside; they are there once it is done."""
    step: dict[str, Any] = {"name": name}
    start, busy = time.perf_counter(), time.process_time()
    with watch_memory() as peak, watch_files() as sizes:
        yield step
    step["seconds"], step["cpu"] = time.perf_counter() - start, time.process_time() - busy
    step["own"] = peak.anonymous - BEFORE.anonymous
    step["resident"] = peak.resident - BEFORE.resident
    step["files"] = max(sizes)


@contextmanager
def watch_files() -> Iterator[list[float]]:
    """Look all the time at how large the temporary files of this process are, in MiB."""
    sizes, stop = [measure_files()], Event()

    def watch() -> None:
        while not stop.wait(0.2):
            sizes.append(measure_files())

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield sizes
    finally:
        stop.set()
        thread.join()


def measure_files() -> float:
    """Return the MiB of all open files without a name."""
    sizes: dict[int, int] = {}
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            status = link.stat()
            if S_ISREG(status.st_mode) and not status.st_nlink:
                sizes[status.st_ino] = status.st_blocks * 512
    return sum(sizes.values()) / 2**20


def run(route: str, folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, "--route", route, "--folder", str(folder)]
    command += ["--dimension", str(args.dimension), *(["--digest"] if args.digest else [])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return list(map(json.loads, done.stdout.splitlines()))


def compare(folder: Path, args: argparse.Namespace) -> None:
    if not list(folder.glob("events-*.parquet")):
        write_log(folder, args.events, args.queries, args.shown, args.dimension)
    if args.groups:
        count_groups(folder, args)
        return
    baseline = None
    rows = args.events + args.events // CLICKS
    print(f"{args.events} events, {args.events // CLICKS} searches, {args.queries} queries")
    if args.baseline:
        [baseline] = run("duckdb", folder, args)
        report("", [baseline], None, args.events, rows)
    report("by columns, ", run("columns", folder, args), baseline, args.events, rows)
    if args.whole:
        report("in memory, ", run("whole", folder, args), baseline, args.events, rows)
    if args.records:
        first = min(BLOCK, args.events)
        steps = run("records", folder, args)
        report(f"{first} events one by one, ", steps, None, first, first + first // CLICKS)


def report(
    name: str,
    steps: list[dict[str, Any]],
    baseline: dict[str, float] | None,
    events: int,
    rows: int,
) -> None:
    for step in steps:
        ratio = ""
        if baseline:
            clock, busy = step["seconds"] / baseline["seconds"], step["cpu"] / baseline["cpu"]
            ratio = f", {clock:.1f} x DuckDB alone ({busy:.1f} x its processor time)"
        print(
            f"{name}{step['name']}: {step['seconds']:.1f} s on the clock, {step['cpu']:.1f} s of "
            f"processor, {rows / step['seconds']:.0f} rows/s{ratio}; peak {step['own']:.0f} MB of "
            f"its own, {step['own'] * 2**20 / events:.1f} bytes an event, {step['resident']:.0f} "
            f"MB with pages of files, {step['files']:.0f} MB in temporary files "
            f"{step.get('digest', '')}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--shown", type=int, default=10)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--records", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--baseline", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--groups", action="store_true")
    parser.add_argument("--digest", action="store_true")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument(
        "--route", choices=("duckdb", "columns", "whole", "records"), help=argparse.SUPPRESS
    )
    args = parser.parse_args()
    if args.route:
        measure(args.route, str(args.folder), args.dimension, with_digest=args.digest)
    elif args.folder:
        args.folder.mkdir(parents=True, exist_ok=True)
        compare(args.folder, args)
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), args)


if __name__ == "__main__":
    main()
