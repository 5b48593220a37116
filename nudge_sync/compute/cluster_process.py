"""The program `python -m nudge_sync.compute.cluster_process WORKERS FOLDER`: a Dask cluster.

It prints one line of JSON, the address and the certificates to connect with, and ends, with all
workers, once its standard input does: also where whoever started it was killed.
A process of its own, since Dask's starter of workers changes environment variables for good, among
them the one that says how many threads to compute on.
"""

from __future__ import annotations

import json
import logging
import shutil
import signal
import sys

import dask
from distributed import LocalCluster
from distributed.security import Security

MAX_LOST_WORKERS = 3
"""How many workers a task may lose before it is given up: it may be the task that kills them."""
RESTART_TIMEOUT = "1 day"
"""How long a lost worker may take to start again: after it, Dask gives its place up for good."""
SILENT_LEVEL = logging.CRITICAL + 1
"""The level of a log that says nothing: what goes wrong is told by whoever waits for results."""
CREDENTIALS = ("tls_ca_file", "tls_client_cert", "tls_client_key")
"""Fields of `Security` that a client needs; they hold PEM, not names of files."""


def keep_cluster(worker_count: int, folder: str) -> None:
    """Keep a cluster of so many worker processes open until standard input ends.

    folder: where Dask may leave files; removed at the end, since who made it may be gone.
    """
    # Whoever started this closes the pipe; Ctrl+C reaches all processes of a terminal at once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Anybody on this machine can connect to a port, and who is let in can run code.
    security = Security.temporary()
    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": MAX_LOST_WORKERS - 1,
            "distributed.deploy.lost-worker-timeout": RESTART_TIMEOUT,
            "temporary-directory": folder,
            # Scheduler and workers answer HTTP in any case: let there be nothing to ask for.
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
        }
    )
    with LocalCluster(
        n_workers=worker_count,
        threads_per_worker=1,
        host="127.0.0.1",
        protocol="tls://",
        security=security,
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
        memory_limit=0,
        local_directory=folder,
        silence_logs=SILENT_LEVEL,
    ) as cluster:
        credentials = {name: getattr(security, name) for name in CREDENTIALS}
        sys.stdout.write(json.dumps({"address": cluster.scheduler_address, **credentials}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    keep_cluster(int(sys.argv[1]), sys.argv[2])
