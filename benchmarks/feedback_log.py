"""What FeedbackLog adds to a search, with a live database and with a dead one.

python benchmarks/feedback_log.py
"""

from __future__ import annotations

import time

import numpy as np

from nudge_sync import FeedbackLog
from nudge_sync.errors import Unreachable
from nudge_sync.testing.memory import MemoryDatabase

SEARCHES, DIMENSION, SHOWN_POINTS = 5000, 384, 20


def fail_to_connect() -> MemoryDatabase:
    raise Unreachable


def open_database() -> MemoryDatabase:
    database = MemoryDatabase()
    database.store.create("docs", DIMENSION)
    return database


def main() -> None:
    vector = np.random.default_rng(0).normal(size=DIMENSION).astype(np.float32)
    given = {"array": vector, "list": vector.tolist()}
    shown = list(range(SHOWN_POINTS))
    print(f"{'database':10}{'vector':10}{'median us':>12}{'99% us':>12}{'dropped':>10}")
    for name, database in (("live", open_database()), ("dead", fail_to_connect)):
        for kind, query in given.items():
            with FeedbackLog(database, "docs", capacity=100_000, flush_seconds=0.1) as log:
                times_ns = np.zeros(SEARCHES)
                for at in range(SEARCHES):
                    start = time.perf_counter_ns()
                    log.search(query, shown, text="swept wings", session="s", client="c")
                    times_ns[at] = time.perf_counter_ns() - start
                    if at % 50 == 0:
                        time.sleep(0.001)
                median, slow = np.percentile(times_ns, [50, 99]) / 1000
                print(f"{name:10}{kind:10}{median:12.1f}{slow:12.1f}{log.counts.dropped:10}")
                if name == "dead":
                    log._closed = True  # noqa: SLF001 - nothing to wait for


if __name__ == "__main__":
    main()
