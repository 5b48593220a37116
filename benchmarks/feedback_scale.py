"""Events to judgements, streamed from a store that makes its records up as they are read.

python benchmarks/feedback_scale.py [--events 1000000] [--queries 10000] [--shown 10]
                                    [--noise] [--propensities]

Prints seconds, events a second and the peak memory of the process above what it had before, with
what the store itself takes (measured on a million events at most); reading tells on stderr how far
it is. A fifth of what is shown is relevant to its query and clicked five times as often; with
`--noise` nothing is, and no pair should count. With `--propensities` each search logs some, and
`bias = "ipw"` reads them.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from nudge_sync.base.gc_pause import pause_gc
from nudge_sync.connector import Record
from nudge_sync.feedback.judgements import build_judgements
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import VECTOR_DIGEST_FIELD, compute_vector_digest
from nudge_sync.settings.feedback import FeedbackSettings

DIMENSION, POINTS, CLICKS, RELEVANT_SHARE, RELEVANT_CLICK_FACTOR = 384, 100_000, 2, 0.2, 5
BLOCK, MEASURED_EVENTS = 100_000, 1_000_000


class SyntheticRecords:
    """Searches, each of one of `queries` vectors, with `shown` points and two clicks each."""

    batch: int
    logs_propensities = False

    def __init__(self, events: int, queries: int, shown: int, noise: bool) -> None:
        rng = np.random.default_rng(0)
        self.searches = events // CLICKS
        self.batches = -(-self.searches // self.batch)
        self.vectors = rng.normal(size=(queries, DIMENSION)).astype(np.float32)
        self.result_lists = rng.integers(0, POINTS, (queries, shown))
        self.query_rows = rng.integers(0, queries, self.searches, np.int32)
        is_relevant = rng.random((queries, shown)) < (0.0 if noise else RELEVANT_SHARE)
        click_weights = np.where(is_relevant, RELEVANT_CLICK_FACTOR, 1) / np.arange(1, shown + 1)
        cumulative_chances = np.cumsum(
            click_weights / click_weights.sum(axis=1, keepdims=True), axis=1
        ).astype(np.float32)
        self.clicked_indices = np.empty((self.searches, CLICKS), np.int8)
        for start in range(0, self.searches, BLOCK):
            query = self.query_rows[start : start + BLOCK]
            draws = rng.random((len(query), CLICKS, 1), np.float32)
            indices = (draws > cumulative_chances[query, None, :-1]).sum(axis=2)
            self.clicked_indices[start : start + BLOCK] = indices


class SyntheticSearches(SyntheticRecords):
    """Records of the searches."""

    batch = 1000

    def scan(self, *_: Any, **__: Any) -> Iterator[list[Record]]:
        """Yield the records as a database does that is not asked for their vectors."""
        lists = self.result_lists.tolist()
        self.digests = list(map(compute_vector_digest, self.vectors))
        for start in range(0, self.searches, self.batch):
            stop = min(start + self.batch, self.searches)
            yield [
                Record(f"search {number:012d}", self._document(number, lists))
                for number in range(start, stop)
            ]

    def get(self, keys: list[str]) -> list[Record]:
        return [Record(key, {}, self.vectors[self.query_rows[int(key.split()[1])]]) for key in keys]

    def _document(self, number: int, lists: Any) -> dict[str, Any]:
        shown = lists[self.query_rows[number]]
        document = {
            "query_id": f"search {number:012d}",
            "text": "",
            "timestamp": 1.7e9 + number,
            "shown": shown,
            "session_id": f"session {number // 3}",
            "client_id": f"client {number // 9}",
            VECTOR_DIGEST_FIELD: self.digests[self.query_rows[number]],
        }
        if self.logs_propensities:
            document["propensities"] = [1 / rank for rank in range(1, len(shown) + 1)]
        return document


class SyntheticEvents(SyntheticRecords):
    """Records of the clicks."""

    batch = 500

    def scan(self, *_: Any, **__: Any) -> Iterator[list[Record]]:
        lists = self.result_lists.tolist()
        for start in range(0, self.searches, self.batch):
            stop = min(start + self.batch, self.searches)
            yield [
                self._record(number, lists[query][index])
                for number, query in enumerate(self.query_rows[start:stop].tolist(), start)
                for index in self.clicked_indices[number].tolist()
            ]

    def _record(self, number: int, point: int) -> Record:
        document = {
            "query_id": f"search {number:012d}",
            "action_name": "click",
            "object_id": point,
            "position": None,
            "grade": None,
            "timestamp": 1.7e9 + number,
            "session_id": f"session {number // 3}",
            "client_id": f"client {number // 9}",
        }
        return Record(f"{number:x} {point:x}", document)


def measure_generation(stores: Any, share: float) -> float:
    """Return the seconds of processor that making up all records takes, from a share of them."""
    start = time.process_time()
    with pause_gc():
        for store in stores:
            for _ in islice(store.scan(), round(share * store.batches)):
                pass
    return (time.process_time() - start) / share


def print_progress(stage: str, done: int, total: int) -> None:
    if done % 500_000 == 0:
        print(f"{done} {stage}", file=sys.stderr, flush=True)


def read_peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--shown", type=int, default=10)
    parser.add_argument("--noise", action="store_true")
    parser.add_argument("--propensities", action="store_true")
    args = parser.parse_args()
    shape = (args.events, args.queries, args.shown, args.noise)
    searches: Any = SyntheticSearches(*shape)
    searches.logs_propensities = args.propensities
    events: Any = SyntheticEvents(*shape)
    baseline_mb = read_peak_mb()
    generation_seconds = measure_generation(
        [searches, events], min(1.0, MEASURED_EVENTS / args.events)
    )
    start = time.perf_counter(), time.process_time()
    settings = FeedbackSettings(bias="ipw" if args.propensities else "pbm")
    log = load_log(searches, events, settings, DIMENSION, print_progress)
    reading_seconds, reading_mb = time.process_time() - start[1], read_peak_mb() - baseline_mb
    judgements = build_judgements(log, settings)
    wall, busy = time.perf_counter() - start[0], time.process_time() - start[1]
    print(f"{args.events} events, {searches.searches} searches, {args.queries} queries")
    print(
        f"{wall:.1f} s on the clock, {busy:.1f} s of processor, of which reading "
        f"{reading_seconds:.1f} s"
    )
    print(f"the made-up store alone {generation_seconds:.1f} s; {args.events / wall:.0f} events/s")
    print(
        f"without the made-up store {busy - generation_seconds:.1f} s, "
        f"{args.events / (busy - generation_seconds):.0f} events/s"
    )
    print(
        f"peak {read_peak_mb() - baseline_mb:.0f} MB above the {baseline_mb:.0f} MB before, "
        f"{reading_mb:.0f} MB when all was read; {len(judgements)} judgements"
    )
    for stage in judgements.funnel:
        print(f"  {stage.name:18}{stage.kept:10} kept {stage.removed:10} removed: {stage.reason}")


if __name__ == "__main__":
    main()
