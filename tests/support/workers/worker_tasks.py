"""Tasks for executors, in a module that their workers can import, and a cluster that does."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.base.threads import count_threads
from nudge_sync.compute.dask_cluster import start_cluster
from nudge_sync.compute.dask_executor import DaskExecutor
from nudge_sync.errors import InputError
from tests.support.source_code import ROOT
from tests.support.timeouts import TIMEOUT_SECONDS

_running = 0


@contextmanager
def open_cluster(
    worker_count: int, threads: int = 1, progress: Progress = ignore_progress
) -> Iterator[DaskExecutor]:
    """Open an executor on workers that can import the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with start_cluster(worker_count, progress) as client:
            yield DaskExecutor(client, "this machine", threads, progress)


def multiply(matrix: np.ndarray, factor: float) -> np.ndarray:
    return matrix * np.float32(factor)


def describe_worker(_: object, item: int) -> tuple[int, int]:
    """Return the item, and how many threads compute there."""
    return item, count_threads()


def refuse_one(_: object, item: int) -> int:
    if item == 1:
        raise InputError(f"item {item} is refused")
    return item


def kill_worker(_: object, item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def begin_and_wait(folder: str, item: int) -> int:
    """Leave a file that names item and process, and wait for the file `go`."""
    (Path(folder) / f"begun-{item}-{os.getpid()}").touch()
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (Path(folder) / "go").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return item * item


def list_begun(folder: Path) -> list[tuple[int, int]]:
    """Return the item and the process of each task that began."""
    names = [path.name.split("-") for path in folder.glob("begun-*")]
    return sorted((int(item), int(process)) for _, item, process in names)


def count_at_once(_: object, item: int) -> int:
    """Return how many of these tasks ran in this process while this one did."""
    global _running  # noqa: PLW0603 - of the worker's process
    _running += 1
    most = _running
    for _ in range(5):
        time.sleep(0.01)
        most = max(most, _running)
    _running -= 1
    return most


def list_children(parent: int) -> set[psutil.Process]:
    """Return all processes that `parent` started, and those that they did."""
    return set(psutil.Process(parent).children(recursive=True))


def find_workers(parent: int) -> list[psutil.Process]:
    """Return the worker processes of the clusters that `parent` started."""
    return [child for child in list_children(parent) if "spawn_main" in " ".join(child.cmdline())]


def wait_for_workers(parent: int, others: Collection[psutil.Process]) -> list[psutil.Process]:
    """Return the workers of `parent` beside `others`, once there is one."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        with suppress(psutil.NoSuchProcess):
            if found := [worker for worker in find_workers(parent) if worker not in others]:
                return found
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_until_gone(processes: Collection[psutil.Process]) -> None:
    """Return once all have ended; fail where one does not in time."""
    _, alive = psutil.wait_procs(processes, timeout=TIMEOUT_SECONDS)
    assert not alive


def read_address(scheduler_file: Path) -> str:
    """Return the address that a scheduler leaves in its file, once it does."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        with suppress(FileNotFoundError, ValueError):
            return str(json.loads(scheduler_file.read_text())["address"])
        assert time.monotonic() < deadline
        time.sleep(0.05)
