"""What reading feedback costs where closed days are kept as blocks, and where nothing is new.

python benchmarks/feedback_blocks.py [--engine qdrant-edge|milvus|qdrant] [--events 100000]
    [--queries 10000] [--days 180] [--dimension 384] [--folder DIR | --stored DIR]

Stores searches, each of one of `queries` vectors and with two clicks, over some days, beside a new
collection, and reads them as cycles do: without blocks, with the first cycle making
them, once more with 1 % new searches and clicks, and once more with nothing new. Prints, for each,
seconds on the clock and of the processor, how many records were read and how many blocks stood for,
and what the click model takes after that; whether the log is the same, bit for bit, as without
blocks; how long the daemon takes to find that nothing is new, instead of a cycle: at first, where
it counts, and from then on, where the database may know; and what Qdrant Edge takes for the log, of
memory that has no file behind it and of the disk. Without `--folder` its collection is in a
temporary one; name one in memory (/dev/shm) to leave the disk out of it. With `--stored` the log
stays there, for the next run with the same numbers, as storing a large one takes long.

`milvus` is the server in MILVUS_URI, or one from the `milvus` wheel; `qdrant` the one in
QDRANT_URL, or from QDRANT_BINARY. What a server's own process takes is not in the seconds of the
processor.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from common.large.servers import open_edge, open_milvus, open_qdrant  # noqa: E402
from common.memory import MemoryPeak  # noqa: E402

from nudge_sync.config import CollectionSettings, Config  # noqa: E402
from nudge_sync.connector import Database, Record  # noqa: E402
from nudge_sync.feedback.judgements import build_judgements  # noqa: E402
from nudge_sync.feedback.log.collection_log import load_collection_log  # noqa: E402
from nudge_sync.feedback.log.columns import Log  # noqa: E402
from nudge_sync.feedback.schema.records import VECTOR_DIGEST_FIELD, compute_vector_digest  # noqa: E402
from nudge_sync.serve.jobs.idle import IdleCollections, read_state  # noqa: E402
from nudge_sync.settings.feedback import FeedbackSettings  # noqa: E402
from nudge_sync.store.feedback.stamped_records import STORED_AT_FIELD  # noqa: E402
from nudge_sync.store.ledger import now_ms  # noqa: E402
from nudge_sync.store.target import Target, open_companion, open_target  # noqa: E402

COLLECTION, POINTS, SHOWN, CLICKS = "nudge_feedback_blocks", 100_000, 10, 2
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


def measure_idle(target: Target, settings: CollectionSettings) -> tuple[float, float]:
    """Return the seconds in which the daemon finds that nothing is new, counting and then not."""
    config = Config(database={"connector": "any"}, collections={COLLECTION: settings})
    idle, seconds = IdleCollections(), []
    former = read_state(target, config, settings)
    idle.remember(COLLECTION, former, now_ms(), "unchanged")
    for known in (None, former):
        start = time.perf_counter()
        state = read_state(target, config, settings, known)
        if idle.find_outcome(COLLECTION, state) is None:
            raise SystemExit("the same collection is not found to be the same")
        idle.has_new_feedback(COLLECTION, target)
        seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--engine", default="qdrant-edge", choices=["qdrant-edge", "milvus", "qdrant"]
    )
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--dimension", type=int, default=384)
    places = parser.add_mutually_exclusive_group()
    places.add_argument("--folder", type=Path)
    places.add_argument("--stored", type=Path)
    given = parser.parse_args()
    log, searches = MadeUpLog(given.queries, given.dimension), given.events // CLICKS
    with ExitStack() as stack:
        if given.engine == "qdrant-edge":
            folder = given.stored or Path(stack.enter_context(TemporaryDirectory(dir=given.folder)))
            run_edge(folder, log, searches, given.days)
            return
        open_server = {"milvus": open_milvus, "qdrant": open_qdrant}[given.engine]
        database = stack.enter_context(open_server(COLLECTION, given.dimension))
        run(open_log(database, log, searches, given.days), log, searches, given.days)


def open_log(database: Database, log: MadeUpLog, searches: int, days: int) -> Target:
    """Return the collection with its log, stored now or by a former run."""
    target = open_target(database, COLLECTION)
    if not target.queries.count():
        yesterday = time.time() // SECONDS_PER_DAY * SECONDS_PER_DAY - SECONDS_PER_DAY
        times = np.linspace(yesterday - days * SECONDS_PER_DAY, yesterday, searches)
        store_log(target, log, 0, times)
        return target
    new = np.zeros(count_new(searches))
    target.blocks.drop()
    target.queries.delete([record.key for record in log.list_searches(searches, new)])
    target.events.delete([record.key for record in log.list_clicks(searches, new)])
    if (target.queries.count(), target.events.count()) != (searches, CLICKS * searches):
        raise SystemExit("another log is stored there: name a new folder")
    return target


def count_new(searches: int) -> int:
    """Return how many searches are new beside a log of so many."""
    return round(NEW_SHARE * searches)


def run_edge(folder: Path, log: MadeUpLog, searches: int, days: int) -> None:
    """Measure on Qdrant Edge, and what the log takes of this process's memory and of the disk."""
    before, after = MemoryPeak(), MemoryPeak()
    before.look()
    with open_edge(COLLECTION, log.vectors.shape[1], folder) as database:
        target = open_log(database, log, searches, days)
        target.events.count()
        after.look()
        files = [file for file in folder.rglob("*") if file.is_file()]
        disk_bytes = sum(file.stat().st_blocks * 512 for file in files)
        taken = after.anonymous - before.anonymous
        print(f"the log takes {taken:.0f} MiB of memory, {disk_bytes / 2**20:.0f} MiB of the disk")
        run(target, log, searches, days)


def run(target: Target, log: MadeUpLog, searches: int, days: int) -> None:
    queries, now = len(log.vectors), time.time()
    counted = f"{CLICKS * searches} events, {searches} searches, {queries} queries, {days} days"
    print(f"{target.database.describe().product}: {counted}")
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
    counting, knowing = measure_idle(target, blocks)
    print(f"found to be idle by counting: {counting:.3f} s; from then on: {knowing:.3f} s")
    whole = measure("without blocks", target, plain, keeps=False)
    print(f"the same log, bit for bit: {is_same(again, whole)}")
    bytes_kept = sum(
        len(record.document.get("data", ""))
        for batch in target.blocks.scan(batch_size=16)
        for record in batch
    )
    print(f"{target.blocks.count()} records of blocks, {bytes_kept / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
