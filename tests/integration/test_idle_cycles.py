"""Cycles of the daemon in which nothing is new end at once, and no others do."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from dataclasses import replace

import pytest

from nudge_sync.base.signals import StopRequest
from nudge_sync.config import load_config
from nudge_sync.feedback.schema.records import Event, to_event_record
from nudge_sync.serve.daemon import Daemon
from nudge_sync.serve.jobs.idle import IdleCollections, read_state
from nudge_sync.serve.jobs.schedule import CycleJob
from nudge_sync.store.target import Target, open_target
from nudge_sync_qdrant_edge import connect
from tests.support.applications import EdgeApplication
from tests.support.workspace import Workspace, make_workspace

SKIPPED = "nothing new since the last cycle"
SCHEDULE = '[schedule]\nevery = "1d"\n'


@pytest.fixture(scope="module")
def filled_workspace(tmp_path_factory) -> Workspace:
    shop = make_workspace(tmp_path_factory.mktemp("shop"))
    shop.run("feedback", "import", str(shop.feedback_path))
    return shop


@pytest.fixture
def workspace(filled_workspace, tmp_path) -> Workspace:
    copied = filled_workspace.copy_to(tmp_path / "copy")
    copied.write_config(SCHEDULE)
    return copied


class Runner:
    """Runs cycles as the daemon does, and tells what the log says of each."""

    def __init__(self, workspace: Workspace, caplog, settling_ms: int = 0) -> None:
        self.workspace = workspace
        self.daemon = Daemon(load_config(workspace.config_path), StopRequest())
        # Feedback of this minute counts as settled, unless a test says otherwise.
        self.daemon.jobs.idle = IdleCollections(settling_ms=settling_ms)
        self._caplog = caplog
        caplog.set_level(logging.INFO, logger="nudge_sync")

    def run(self) -> str:
        self._caplog.clear()
        self.daemon.jobs.run(CycleJob("docs"))
        (message,) = (record.message for record in self._caplog.records)
        return message

    def change(self, act) -> None:
        with closing(connect({"path": str(self.workspace.folder / "shards")})) as database:
            act(open_target(database, "docs"))


def test_the_second_cycle_of_a_day_ends_at_once(workspace, caplog):
    runner = Runner(workspace, caplog)
    assert runner.run() == "cycle applied"
    assert [runner.run(), runner.run()] == [SKIPPED, SKIPPED]
    metrics = runner.daemon.render_metrics().decode()
    assert 'nudge_sync_cycles_total{collection="docs",outcome="unchanged"} 2.0' in metrics


def test_what_was_stored_shortly_before_the_cycle_may_have_come_during_it(workspace, caplog):
    runner = Runner(workspace, caplog, settling_ms=3_600_000)
    assert runner.run() == "cycle applied"
    assert runner.run() == "cycle unchanged"


def add_event(target: Target) -> None:
    target.events.put([to_event_record(Event("q0", "relevant", 7, timestamp=1.0))])


def store_again(target: Target) -> None:
    (first, *_) = next(target.events.scan(vectors=False))
    target.events.put([first])


def delete_event(target: Target) -> None:
    (first, *_) = next(target.events.scan(vectors=False))
    target.events.delete([first.key])


def add_unstamped_event(target: Target) -> None:
    record = to_event_record(Event("q0", "relevant", 8, timestamp=1.0))
    # As an older version stores it: past what stamps.
    target.events.wrapped.wrapped.put([replace(record, document=dict(record.document))])


def add_point(target: Target) -> None:
    vectors = target.collection.read([0]).vectors
    EdgeApplication("").upsert(target.database, [9001], vectors)


@pytest.mark.parametrize(
    "change", [add_event, store_again, delete_event, add_unstamped_event, add_point]
)
def test_after_a_change_the_next_cycle_runs_whole(change, workspace, caplog):
    runner = Runner(workspace, caplog)
    runner.run()
    runner.change(change)
    assert runner.run() != SKIPPED


def test_records_are_counted_again_only_where_their_number_changed(workspace):
    config = load_config(workspace.config_path)
    settings = config.collections["docs"]
    with closing(connect({"path": str(workspace.folder / "shards")})) as database:
        target = open_target(database, "docs")
        counted = read_state(target, config, settings)
        known = replace(counted, events=counted.events + 100)
        assert read_state(target, config, settings, known) == known
        delete_event(target)
        state = read_state(target, config, settings, known)
        assert (state.searches, state.events) == (counted.searches, counted.events - 1)


def test_other_settings_are_something_new(workspace, caplog):
    runner = Runner(workspace, caplog)
    runner.run()
    workspace.write_config(SCHEDULE + "[feedback]\nhalf_life_days = 10.0\n")
    runner.daemon.use_config(load_config(workspace.config_path))
    assert runner.run() != SKIPPED
    assert runner.run() == SKIPPED
    workspace.write_config(SCHEDULE + "skip_idle = false\n")
    runner.daemon.use_config(load_config(workspace.config_path))
    assert [runner.run(), runner.run()] == ["cycle unchanged", "cycle unchanged"]


def test_a_hold_and_a_rollback_are_seen(workspace, caplog):
    runner = Runner(workspace, caplog)
    assert runner.run() == "cycle applied"
    workspace.run("rollback", "--yes")
    assert runner.run() == "on hold, nothing written"
    workspace.run("release")
    assert runner.run() == "cycle applied"
    assert runner.run() == SKIPPED


def test_a_log_of_the_applications_own_is_read_each_time(workspace, caplog):
    log = workspace.folder / "clicks.jsonl"
    rows = [{"query": "q0", "doc": 7}, {"query": "q1", "doc": 8}]
    log.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    workspace.write_config(
        f'{SCHEDULE}[feedback.events]\nfiles = {json.dumps(str(log))}\nquery_id = "query"\n'
        'point = "doc"\n'
    )
    runner = Runner(workspace, caplog)
    assert runner.run() == "cycle applied"
    assert runner.run() == "cycle unchanged"
