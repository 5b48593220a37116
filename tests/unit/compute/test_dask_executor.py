"""Tasks on real worker processes: results in order, workers that die, and giving up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nudge_sync.base.executor import LOCAL
from nudge_sync.compute.dask_executor import DaskExecutor
from nudge_sync.errors import ComputeFailed, InputError, Interrupted
from tests.support.timeouts import TIMEOUT_SECONDS
from tests.support.workers import worker_tasks as tasks


@pytest.fixture(scope="module")
def executor() -> Iterator[DaskExecutor]:
    with tasks.open_cluster(2, threads=3) as opened:
        yield opened


def wait_for_tasks(folder: Path, count: int) -> list[tuple[int, int]]:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while len(begun := tasks.list_begun(folder)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return begun


def test_results_come_in_the_order_of_the_items_and_as_computed_here(executor: DaskExecutor):
    matrix = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    factors = [0.1 * number for number in range(10)]
    for expected, result in zip(
        LOCAL.map(tasks.multiply, matrix, factors),
        executor.map(tasks.multiply, matrix, factors),
        strict=True,
    ):
        np.testing.assert_array_equal(result, expected)
    assert list(executor.map(tasks.multiply, matrix, [])) == []


def test_a_task_computes_on_the_threads_that_it_was_sent_with(executor: DaskExecutor):
    assert list(executor.map(tasks.describe_worker, None, [5, 6])) == [(5, 3), (6, 3)]


def test_what_the_work_raises_is_raised_here(executor: DaskExecutor):
    results = executor.map(tasks.refuse_one, None, range(3))
    assert next(results) == 0
    with pytest.raises(InputError, match="item 1 is refused"):
        next(results)


def test_a_killed_worker_costs_its_task_and_no_more(executor: DaskExecutor, tmp_path: Path):
    results = executor.map(tasks.begin_and_wait, str(tmp_path), range(6))
    begun = wait_for_tasks(tmp_path, 2)
    lost_item, process = begun[0]
    os.kill(process, signal.SIGKILL)
    (tmp_path / "go").touch()
    assert list(results) == [0, 1, 4, 9, 16, 25]
    runs = tasks.list_begun(tmp_path)
    assert len([item for item, _ in runs if item == lost_item]) == 2
    assert len(runs) == 7


def test_what_all_tasks_share_is_sent_again_where_the_only_worker_had_it(tmp_path: Path):
    with tasks.open_cluster(1) as executor:
        results = executor.map(tasks.begin_and_wait, str(tmp_path), range(2))
        (_, process), *_ = wait_for_tasks(tmp_path, 1)
        os.kill(process, signal.SIGKILL)
        (tmp_path / "go").touch()
        assert list(results) == [0, 1]


def test_a_task_that_kills_every_worker_is_given_up(executor: DaskExecutor):
    with pytest.raises(ComputeFailed, match="Dask at this machine lost every worker that ran"):
        list(executor.map(tasks.kill_worker, None, [0]))
    assert list(executor.map(tasks.describe_worker, None, [1])) == [(1, 3)]


def test_a_worker_that_takes_long_to_start_again_is_waited_for(monkeypatch):
    """Dask itself gives up its place after 15 s, as many as a busy machine may need; here, 1 s."""
    monkeypatch.setenv("DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT", "1s")
    others = tasks.find_workers(os.getpid())
    with tasks.open_cluster(1) as executor:
        [lost] = tasks.wait_for_workers(os.getpid(), others)
        lost.kill()
        [started] = tasks.wait_for_workers(os.getpid(), [*others, lost])
        started.suspend()
        time.sleep(3)
        started.resume()
        assert list(executor.map(tasks.describe_worker, None, [1])) == [(1, 1)]


def test_a_worker_that_computes_other_bits_is_refused(executor: DaskExecutor, monkeypatch):
    monkeypatch.setitem(executor._environment, "numpy", "1.0")
    with pytest.raises(ComputeFailed, match=r"it has numpy .* instead of 1\.0"):
        list(executor.map(tasks.describe_worker, None, [0]))


def test_work_that_is_stopped_leaves_no_process_behind(tmp_path: Path):
    stopped, before = False, tasks.list_children(os.getpid())

    def report(stage: str, done: int, total: int) -> None:
        if stopped:
            raise Interrupted

    with (  # noqa: PT012 - the cluster has to be left by the exception
        pytest.raises(Interrupted),
        tasks.open_cluster(1, progress=report) as executor,
    ):
        results = executor.map(tasks.begin_and_wait, str(tmp_path), range(3))
        wait_for_tasks(tmp_path, 1)
        processes = tasks.list_children(os.getpid()) - before
        stopped = True
        next(results)
    # The cluster, its worker, and what Python starts beside processes of its own.
    assert len(processes) >= 2
    tasks.wait_until_gone(processes)
