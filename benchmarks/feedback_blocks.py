"""What reading feedback costs where closed days are kept as blocks, and where nothing is new.

python benchmarks/feedback_blocks.py [--events 100000] [--queries 10000] [--days 180]
    [--dimension 384] [--folder DIR | --stored DIR]

Stores searches, each of one of `queries` vectors and with two clicks, over some days, in a new
collection of qdrant-edge, and reads them as cycles do: without blocks, with the first cycle making
them, once more with 1 % new searches and clicks, and once more with nothing new. Prints, for each,
seconds on the clock and of the processor, how many records were read and how many blocks stood for,
and what the click model takes after that; whether the log is the same, bit for bit, as without
blocks; how long the daemon counts to find that nothing is new, instead of a cycle; and what the
engine takes for the log, of memory that has no file behind it and of the disk. Without
`--folder` the collection is in a temporary one; name one in memory (/dev/shm) to leave the disk out
of it. With `--stored` the log stays there, for the next run with the same numbers, as storing a
large one takes long.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common.memory import MemoryPeak

import nudge_sync_qdrant_edge
from nudge_sync.config import CollectionSettings, Config
from nudge_sync.connector import Record, connect
from nudge_sync.feedback.judgements import build_judgements
from nudge_sync.feedback.log.collection_log import load_collection_log
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.schema.records import VECTOR_DIGEST_FIELD, compute_vector_digest
from nudge_sync.serve.jobs.idle import IdleCollections, read_state
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store.feedback.stamped_records import STORED_AT_FIELD
from nudge_sync.store.ledger import now_ms
from nudge_sync.store.target import Target, open_companion, open_target

COLLECTION, POINTS, SHOWN, CLICKS = "docs", 100_000, 10, 2
BATCH, NEW_SHARE, SECONDS_PER_DAY = 2000, 0.01, 86_400


class MadeUpLog:
    """Searches and clicks whose number says everything about them."""

    def __init__(self, queries: int, dimension: int) -> None:
        rng = np.random.default_rng(0)
        self.vectors = rng.normal(size=(queries, dimension)).astype(np.float32)
        self.digests = list(map(compute_vector_digest, self.vectors))
        self.lists = rng.integers(0, POINTS, (queries, SHOWN)).tolist()

    def list_searches(self, first: int, times: np.ndarray) -> Iterator[Record]:
        for number, moment in enumerate(times.tolist(), first):
            query = number * 7919 % len(self.vectors)
            document = {
                **self._list_origin(number, moment),
                "text": "",
                "shown": self.lists[query],
                VECTOR_DIGEST_FIELD: self.digests[query],
            }
            yield Record(f"search {number:012d}", document, self.vectors[query])

    def list_clicks(self, first: int, times: np.ndarray) -> Iterator[Record]:
        for number, moment in enumerate(times.tolist(), first):
            shown = self.lists[number * 7919 % len(self.vectors)]
            for click in range(CLICKS):
                document = {
                    **self._list_origin(number, moment + 5 + click),
                    "action_name": "click",
                    "object_id": shown[(number // 7 + click * click) % SHOWN],
                    "position": None,
                    "grade": None,
                }
                yield Record(f"{number:x} {click}", document)

    def _list_origin(self, number: int, moment: float) -> dict[str, Any]:
        return {
            "query_id": f"search {number:012d}",
            "timestamp": moment,
            "session_id": f"session {number // 3}",
            "client_id": f"client {number // 9}",
            STORED_AT_FIELD: int(moment * 1000) + 10_000,
        }


def store_log(target: Target, log: MadeUpLog, first: int, times: np.ndarray) -> None:
    """Store as an application would have, at the time of each record."""
    for companion, records in (
        ("queries", log.list_searches(first, times)),
        ("events", log.list_clicks(first, times)),
    ):
        raw = open_companion(target.database, COLLECTION, companion, target.facts)
        batch: list[Record] = []
        for record in records:
            batch.append(record)
            if len(batch) == BATCH:
                raw.put(batch)
                batch = []
        raw.put(batch)


def measure(name: str, target: Target, settings: CollectionSettings, *, keeps: bool) -> Log:
    """Read the log as a cycle does, print what it took, and return it."""
    start = time.perf_counter(), time.process_time()
    log = load_collection_log(target, settings, keep_blocks=keeps)
    read = time.perf_counter(), time.process_time()
    build_judgements(log, settings.feedback)
    built = time.perf_counter(), time.process_time()
    counts = log.block_counts.summary() if log.block_counts else {}
    print(
        f"{name:22}{read[0] - start[0]:9.2f}{read[1] - start[1]:9.2f}"
        f"{built[0] - read[0]:9.2f}{built[1] - read[1]:9.2f}"
        f"{counts.get('records_read', '-'):>12}{counts.get('records_in_blocks', '-'):>12}",
        flush=True,
    )
    return log


def is_same(log: Log, other: Log) -> bool:
    """Return whether two logs are equal, bit for bit."""
    parts = [(log.searches, other.searches), (log.behaviour, other.behaviour)]
    columns = [
        (getattr(one, name), getattr(two, name))
        for one, two in parts
        for name in one.__slots__
        if name not in ("query_ids", "propensities")
    ]
    names = [
        (log.searches.query_ids, other.searches.query_ids),
        (log.session_ids, other.session_ids),
        (log.client_ids, other.client_ids),
        (log.point_ids, other.point_ids),
    ]
    columns.append((log.query_vectors, other.query_vectors))
    return all(one.tobytes() == two.tobytes() for one, two in columns) and all(
        list(one) == list(two) for one, two in names
    )


def measure_idle(target: Target, settings: CollectionSettings) -> float:
    """Return the seconds in which the daemon finds whether anything is new."""
    config = Config(database={"connector": "qdrant-edge"}, collections={COLLECTION: settings})
    idle = IdleCollections()
    former = read_state(target, config, settings)
    idle.remember(COLLECTION, former, now_ms(), "unchanged")
    start = time.perf_counter()
    state = read_state(target, config, settings, former)
    if idle.find_outcome(COLLECTION, state) is None:
        raise SystemExit("counting does not find the same twice")
    idle.has_new_feedback(COLLECTION, target)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--dimension", type=int, default=384)
    places = parser.add_mutually_exclusive_group()
    places.add_argument("--folder", type=Path)
    places.add_argument("--stored", type=Path)
    args = parser.parse_args()
    log = MadeUpLog(args.queries, args.dimension)
    if args.stored is not None:
        run(args.stored, log, args.events // CLICKS, args.days)
        return
    with TemporaryDirectory(dir=args.folder) as folder:
        run(Path(folder), log, args.events // CLICKS, args.days)


def open_log(folder: Path, log: MadeUpLog, searches: int, days: int) -> Target:
    """Return the collection with its log, stored now or by a former run."""
    folder.mkdir(parents=True, exist_ok=True)
    is_new = not any(folder.iterdir())
    database = connect("qdrant-edge", {"path": str(folder)})
    if is_new:
        point = np.ones((1, log.vectors.shape[1]), np.float32)
        nudge_sync_qdrant_edge.ingest(database, COLLECTION, [0], point)
    target = open_target(database, COLLECTION)
    if is_new:
        yesterday = time.time() // SECONDS_PER_DAY * SECONDS_PER_DAY - SECONDS_PER_DAY
        times = np.linspace(yesterday - days * SECONDS_PER_DAY, yesterday, searches)
        store_log(target, log, 0, times)
        return target
    new = np.zeros(count_new(searches))
    target.blocks.drop()
    target.queries.delete([record.key for record in log.list_searches(searches, new)])
    target.events.delete([record.key for record in log.list_clicks(searches, new)])
    if (target.queries.count(), target.events.count()) != (searches, CLICKS * searches):
        raise SystemExit(f"{folder} holds another log: name a new folder")
    return target


def count_new(searches: int) -> int:
    """Return how many searches are new beside a log of so many."""
    return round(NEW_SHARE * searches)


def run(folder: Path, log: MadeUpLog, searches: int, days: int) -> None:
    before, after = MemoryPeak(), MemoryPeak()
    before.look()
    target = open_log(folder, log, searches, days)
    target.events.count()
    after.look()
    disk_bytes = sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
    queries, now = len(log.vectors), time.time()
    print(f"{CLICKS * searches} events, {searches} searches, {queries} queries, {days} days")
    taken = after.anonymous - before.anonymous
    print(f"the log takes {taken:.0f} MiB of memory and {disk_bytes / 2**20:.0f} MiB of the disk")
    print(f"{'':22}{'reading':>18}{'click model':>18}{'read as':>12}{'in':>12}")
    print(f"{'':22}{'clock':>9}{'busy':>9}{'clock':>9}{'busy':>9}{'records':>12}{'blocks':>12}")
    blocks, plain = (
        CollectionSettings(),
        CollectionSettings(feedback=FeedbackSettings(block_days=0)),
    )
    measure("without blocks", target, plain, keeps=False)
    measure("first cycle", target, blocks, keeps=True)
    store_log(target, log, searches, np.linspace(now - 3000, now - 60, count_new(searches)))
    measure("1 % new", target, blocks, keeps=True)
    again = measure("nothing new", target, blocks, keeps=True)
    print(f"found to be idle by counting: {measure_idle(target, blocks):.2f} s")
    whole = measure("without blocks", target, plain, keeps=False)
    print(f"the same log, bit for bit: {is_same(again, whole)}")
    bytes_kept = sum(
        len(record.document.get("data", ""))
        for batch in target.blocks.scan(batch_size=16)
        for record in batch
    )
    print(f"{target.blocks.count()} records of blocks, {bytes_kept / 1e6:.1f} MB")
    target.database.close()


if __name__ == "__main__":
    main()
