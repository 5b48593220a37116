"""Events to judgements, streamed from a store that makes its records up as they are read.

python benchmarks/feedback_scale.py [--events 1000000] [--queries 10000] [--shown 10]

Prints seconds, events a second and the peak memory of the process above what it had before, with
what the store itself takes.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from nudge_sync.config import FeedbackSettings
from nudge_sync.connector import Record
from nudge_sync.feedback.columns import read
from nudge_sync.feedback.judgements import judged

DIMENSION, POINTS, CLICKS = 384, 100_000, 2


class MadeUp:
    """Searches, each of one of `queries` vectors, with `shown` points; two clicks on each."""

    def __init__(self, events: int, queries: int, shown: int) -> None:
        rng = np.random.default_rng(0)
        self.searches = events // CLICKS
        self.vectors = rng.normal(size=(queries, DIMENSION)).astype(np.float32)
        self.lists = rng.integers(0, POINTS, (queries, shown))
        self.query = rng.integers(0, queries, self.searches)
        look = 1 / np.arange(1, shown + 1)
        self.places = rng.choice(shown, (self.searches, CLICKS), p=look / look.sum())


class Searches(MadeUp):
    def scan(self, *_: Any, **__: Any) -> Iterator[list[Record]]:
        lists = self.lists.tolist()
        for start in range(0, self.searches, 1000):
            stop = min(start + 1000, self.searches)
            yield [
                Record(f"search {at:012d}", self._document(at, lists), self.vectors[query].copy())
                for at, query in enumerate(self.query[start:stop].tolist(), start)
            ]

    def _document(self, at: int, lists: Any) -> dict[str, Any]:
        return {
            "query_id": f"search {at:012d}",
            "text": "",
            "timestamp": 1.7e9 + at,
            "shown": lists[self.query[at]],
            "session_id": f"session {at // 3}",
            "client_id": f"client {at // 9}",
        }


class Events(MadeUp):
    def scan(self, *_: Any, **__: Any) -> Iterator[list[Record]]:
        lists = self.lists.tolist()
        for start in range(0, self.searches, 500):
            stop = min(start + 500, self.searches)
            yield [
                self._record(at, lists[query][place])
                for at, query in enumerate(self.query[start:stop].tolist(), start)
                for place in self.places[at].tolist()
            ]

    def _record(self, at: int, point: int) -> Record:
        document = {
            "query_id": f"search {at:012d}",
            "action_name": "click",
            "object_id": point,
            "position": None,
            "grade": None,
            "timestamp": 1.7e9 + at,
            "session_id": f"session {at // 3}",
            "client_id": f"client {at // 9}",
        }
        return Record(f"{at:x} {point:x}", document)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--shown", type=int, default=10)
    asked = parser.parse_args()
    made = (asked.events, asked.queries, asked.shown)
    searches: Any = Searches(*made)
    events: Any = Events(*made)
    before = peak()
    start = time.perf_counter(), time.process_time()
    for store in (searches, events):
        for _ in store.scan():
            pass
    own = time.process_time() - start[1]
    start = time.perf_counter(), time.process_time()
    settings = FeedbackSettings()
    log = read(searches, events, settings.actions, DIMENSION)
    taken_in = time.process_time() - start[1]
    found = judged(log, settings)
    wall, busy = time.perf_counter() - start[0], time.process_time() - start[1]
    print(f"{asked.events} events, {searches.searches} searches, {asked.queries} queries")
    print(
        f"{wall:.1f} s on the clock, {busy:.1f} s of processor, of which reading {taken_in:.1f} s"
    )
    print(f"the made-up store alone {own:.1f} s; {asked.events / wall:.0f} events/s")
    print(
        f"peak {peak() - before:.0f} MB above the {before:.0f} MB before; {len(found)} judgements"
    )
    for stage in found.funnel:
        print(f"  {stage.name:18}{stage.kept:10} kept {stage.removed:10} removed: {stage.reason}")


if __name__ == "__main__":
    main()
