"""Whole plans on workers: the same as here, bit for bit, and a daemon that stops takes them along.

The solver's threads are set, so that a machine with many cores does the same as one with two.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from nudge_sync import cycle
from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import CollectionSettings, GateSettings, SolverSettings
from nudge_sync.planning.plan import Plan
from nudge_sync.settings.compute import ComputeSettings
from tests.support.judged_collection import (
    JudgedCollection,
    make_clicked_collection,
    make_labelled_collection,
)
from tests.support.operations.running_daemon import start_daemon, stop_daemon, wait_until
from tests.support.workers.worker_tasks import find_workers, list_children, wait_until_gone
from tests.support.workspace import make_workspace


def make_plan(
    collection: JudgedCollection,
    compute: ComputeSettings,
    threads: int,
    progress: Progress = ignore_progress,
) -> Plan:
    settings = CollectionSettings(
        gate=GateSettings(min_queries=20),
        solver=SolverSettings(threads=threads),
        compute=compute,
    )
    return cycle.plan(collection.target, settings, progress)


def list_contents(plan: Plan) -> dict[str, Any]:
    return {
        "ids": plan.rows.ids,
        "vectors": plan.rows.vectors.tobytes(),
        "angles": plan.rows.angles,
        "digests": (plan.inputs, plan.inputs_digest, plan.rows.live_digests),
        "figures": plan.figures,
        "gate": plan.gate,
    }


@pytest.mark.parametrize(
    ("make", "workers", "threads"),
    [(make_labelled_collection, 1, 2), (make_clicked_collection, 2, 1)],
)
def test_workers_make_the_plan_that_is_made_here(
    make: Callable[[], JudgedCollection], workers: int, threads: int
):
    collection = make()
    here = make_plan(collection, ComputeSettings(), threads)
    there = make_plan(collection, ComputeSettings(engine="dask", workers=workers), threads)
    assert here.rows.ids
    assert list_contents(there) == list_contents(here)


def test_a_plan_whose_worker_was_killed_is_the_same():
    collection, killed = make_labelled_collection(), []

    def kill_once(stage: str, done: int, total: int) -> None:
        if stage == "tasks on workers" and not killed:
            killed.append(find_workers(os.getpid())[0])
            killed[0].kill()

    here = make_plan(collection, ComputeSettings(), 1)
    there = make_plan(collection, ComputeSettings(engine="dask", workers=2), 1, kill_once)
    assert killed
    assert list_contents(there) == list_contents(here)


def test_a_daemon_that_is_stopped_leaves_no_worker_behind(tmp_path):
    shop = make_workspace(tmp_path / "shop")
    shop.run("feedback", "import", str(shop.feedback_path))
    shop.write_config('[compute]\nengine = "dask"\nworkers = 1\n[schedule]\nevery = "1d"')
    with start_daemon(shop, "--now") as (child, _):
        wait_until(lambda: len(list_children(child.pid)) > 0)
        processes = list_children(child.pid)
        log = stop_daemon(child)
    assert "cycle interrupted" in log
    wait_until_gone(processes)
