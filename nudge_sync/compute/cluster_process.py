"""The program `python -m nudge_sync.compute.cluster_process WORKERS FOLDER`: a Dask cluster.

It prints one line of JSON, the address and the certificates to connect with, and ends, with all
workers, once its standard input does: also where whoever started it was killed.
A process of its own, since Dask's starter of workers changes environment variables for good, among
them the one that says how many threads to compute on.
"""

from __future__ import annotations

import json
import logging
import signal
import sys

from distributed import LocalCluster
from distributed.security import Security

CREDENTIALS = ("tls_ca_file", "tls_client_cert", "tls_client_key")
"""Fields of `Security` that a client needs; they hold PEM, not names of files."""


def main(worker_count: int, folder: str) -> None:
    """Keep a cluster of so many worker processes open until standard input ends.

    folder: where Dask may leave files.
    """
    # Whoever started this closes the pipe; Ctrl+C reaches all processes of a terminal at once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Anybody on this machine can connect to a port, and who is let in can run code.
    security = Security.temporary()
    with LocalCluster(
        n_workers=worker_count,
        threads_per_worker=1,
        host="127.0.0.1",
        protocol="tls://",
        security=security,
        dashboard_address=None,
        worker_dashboard_address=None,
        memory_limit=0,
        local_directory=folder,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        credentials = {name: getattr(security, name) for name in CREDENTIALS}
        sys.stdout.write(json.dumps({"address": cluster.scheduler_address, **credentials}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
