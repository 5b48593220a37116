"""A log in processes that fork, and in one that simply ends."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FORKS = """
import json, os, threading
import numpy as np
from nudge_sync import FeedbackLog
from nudge_sync.testing.memory import MemoryDatabase

WORKERS, THREADS = 20, 8


def opened():
    database = MemoryDatabase()
    database.store.create("docs", 4)
    return database


def work(log):
    ids, together = [], threading.Barrier(THREADS)

    def search():
        together.wait()
        ids.append(log.search([1, 0, 0, 0], [1]))

    threads = [threading.Thread(target=search) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writers = sum(thread.name == "nudge-sync-log" for thread in threading.enumerate())
    return {"ids": ids, "writers": writers, "flushed": log.flush(300), "stored": log.counts.stored}


log = FeedbackLog(opened, "docs", flush_seconds=0.01)
for _ in range(WORKERS):
    outlet, inlet = os.pipe()
    child = os.fork()
    if not child:
        os.write(inlet, json.dumps(work(log)).encode())
        os._exit(0)
    os.close(inlet)
    with open(outlet) as told:
        print(told.read(), flush=True)
    os.waitpid(child, 0)
print(json.dumps({"ids": [log.search([1, 0, 0, 0], [1])], "writers": 1, "flushed": log.flush(300),
                  "stored": log.counts.stored}))
"""

ENDS = """
import sys
from nudge_sync import FeedbackLog
from nudge_sync_milvus import connect

path, given = sys.argv[1], sys.argv[2] == "given"
if given:
    database = connect({"uri": path})
    log = FeedbackLog(database, "docs", flush_seconds=30)
else:
    log = FeedbackLog(lambda: connect({"uri": path}), "docs", flush_seconds=30)
log.search([1, 0, 0, 0], [1], query_id="first")
assert log.flush(300), log.counts
for n in range(20):
    log.search([1, 0, 0, 0], [1], query_id=f"last {n}")
"""

LATE = """
import threading, time
from nudge_sync import FeedbackLog
from nudge_sync.testing.memory import MemoryDatabase

database = MemoryDatabase()
database.store.create("docs", 4)
log = FeedbackLog(database, "docs", flush_seconds=0.01)


def serve():
    threading.main_thread().join()
    log.search([1, 0, 0, 0], [1])
    print(log.flush(300), log.counts.stored, log.counts.dropped)


threading.Thread(target=serve).start()
"""


def run_script(script, *arguments):
    finished = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_forked_workers_share_no_query_ids_and_each_has_one_writer():
    workers = [json.loads(line) for line in run_script(FORKS).splitlines()]
    ids = [id_ for worker in workers for id_ in worker["ids"]]
    assert len(set(ids)) == len(ids) == 161
    assert {worker["writers"] for worker in workers} == {1}
    assert all(worker["flushed"] for worker in workers)
    assert [worker["stored"] for worker in workers] == [8] * 20 + [1]


@pytest.mark.parametrize("database", ["given", "function"])
def test_what_waits_when_the_process_ends_is_stored_in_milvus_lite(tmp_path, database):
    from nudge_sync.store.target import open_target  # noqa: PLC0415
    from nudge_sync_milvus import connect  # noqa: PLC0415

    path = str(tmp_path / "milvus.db")
    create_collection(path)
    run_script(ENDS, path, database)
    opened = connect({"uri": path})
    try:
        assert open_target(opened, "docs").queries.count() == 21
    finally:
        opened.close()


def create_collection(path):
    from milvus_lite.server_manager import server_manager_instance  # noqa: PLC0415
    from pymilvus import MilvusClient  # noqa: PLC0415

    client = MilvusClient(path, dedicated=True)
    client.create_collection("docs", 4)
    client.close()
    server_manager_instance.release_server(path)


def test_a_thread_that_outlives_the_main_one_may_still_log():
    assert run_script(LATE).split() == ["True", "1", "0"]
