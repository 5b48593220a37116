"""Connections to a Dask cluster: one that runs already, or one of this machine for a while."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryDirectory
from typing import IO

from distributed import Client
from distributed.security import Security

from nudge_sync.base.gc_pause import pause_gc
from nudge_sync.base.progress import Progress
from nudge_sync.errors import ComputeFailed

START_SECONDS = 120.0
"""How long a cluster on this machine may take to start."""
CONNECT_SECONDS = 30.0
"""How long a scheduler may take to answer."""
_POLL_SECONDS = 0.2
_CLOSE_SECONDS = 3.0
"""How long a cluster may take to end by itself."""
_PROGRAM = "nudge_sync.compute.cluster_process"


@contextmanager
def start_cluster(worker_count: int, progress: Progress) -> Iterator[Client]:
    """Start a cluster of so many processes on this machine, and end it on leaving.

    progress: is called while the cluster starts, and may raise. Raises ComputeFailed.
    """
    # -P: nothing is imported from the folder that happens to be the current one.
    command = [sys.executable, "-P", "-m", _PROGRAM, str(worker_count)]
    with (
        TemporaryDirectory(prefix="nudge-sync-dask-", ignore_cleanup_errors=True) as folder,
        subprocess.Popen(  # noqa: S603 - a program of our own
            [*command, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process,
    ):
        try:
            started = json.loads(_read_first_line(process, progress))
            address = started.pop("address")
            security = Security(require_encryption=True, **started)
            with connect_to_cluster(address, security) as client:
                yield client
        finally:
            _end_cluster(process)


@contextmanager
def connect_to_cluster(address: str, security: Security | None = None) -> Iterator[Client]:
    """Connect to the scheduler at `address` while inside.

    security: certificates; None: those that Dask's own configuration names.
    Raises ComputeFailed where it does not answer.
    """
    # What goes wrong is told by an exception; Dask's own lines would stand between those of a log.
    logging.getLogger("distributed").setLevel(logging.CRITICAL + 1)
    try:
        # A client that is started or closed holds a lock, which the end of another one takes, too:
        # one that did not start, and that is collected meanwhile, would wait for ever.
        with pause_gc():
            client = Client(
                address, security=security, timeout=CONNECT_SECONDS, set_as_default=False
            )
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise ComputeFailed(
            f"the Dask scheduler at {address} does not answer ({error}); see `address` of [compute]"
        ) from error
    try:
        yield client
    finally:
        with pause_gc():
            client.close(timeout=_CLOSE_SECONDS)


def _read_first_line(process: subprocess.Popen[bytes], progress: Progress) -> bytes:
    """Return what the cluster prints once it has started."""
    output, line, deadline = _get_pipe(process.stdout), b"", time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        progress("start workers", 0, 1)
        if select.select([output], [], [], _POLL_SECONDS)[0]:
            part = os.read(output.fileno(), 1 << 16)
            line += part
            if line.endswith(b"\n"):
                return line
            if not part:
                break
    raise ComputeFailed(
        "the Dask cluster on this machine did not start, and stderr says why; "
        'engine = "local" of [compute] needs none'
    )


def _end_cluster(process: subprocess.Popen[bytes]) -> None:
    """Let the cluster end; what is still there after some seconds, in a long task, is killed."""
    _get_pipe(process.stdin).close()
    try:
        process.wait(_CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _get_pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the process was started without this pipe")
    return pipe
