"""When cycles and drills run."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from nudge_sync.config import Config, ScheduleSettings
from nudge_sync.serve.jobs.schedule import (
    CycleJob,
    DrillJob,
    ReviewJob,
    Schedule,
    build_cycle_trigger,
    build_drill_trigger,
    compute_offset,
    has_cycles,
    is_scheduled,
    refuse_idle_config,
    select_schedules,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DEADLINE_SECONDS = 60
"""Longer than any of this takes, also on a busy machine."""


class Recorder:
    """What a schedule called, and a way to wait for it."""

    def __init__(self, block: threading.Event | None = None) -> None:
        self.jobs: list[object] = []
        self.skipped: list[tuple[object, str]] = []
        self._block = block

    def run_job(self, job: object) -> None:
        self.jobs.append(job)
        if self._block is not None:
            assert self._block.wait(DEADLINE_SECONDS)

    def report_skipped_job(self, job: object, reason: str) -> None:
        self.skipped.append((job, reason))

    def schedule(self, **settings: ScheduleSettings) -> Schedule:
        return Schedule(settings, {}, self.run_job, self.report_skipped_job)


def wait_until(reached) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (ScheduleSettings(), False),
        (ScheduleSettings(drill_every="7d"), False),
        (ScheduleSettings(every="6h"), True),
        (ScheduleSettings(cron="15 3 * * *"), True),
    ],
)
def test_only_a_cron_line_or_an_interval_makes_cycles(settings, expected):
    assert has_cycles(settings) is expected


def test_an_interval_does_not_start_anew_with_the_process():
    trigger = build_cycle_trigger(ScheduleSettings(every="6h"), "docs")
    for minutes in (1, 100, 359):
        following = trigger.get_next_fire_time(None, NOON + timedelta(minutes=minutes))
        assert following == NOON + timedelta(hours=6)


def test_a_cron_line_is_read_in_its_time_zone():
    settings = ScheduleSettings(cron="15 3 * * *", timezone="Asia/Tokyo", spread="1h")
    trigger = build_cycle_trigger(settings, "docs")
    assert trigger.get_next_fire_time(None, NOON) == datetime(2026, 5, 1, 18, 15, tzinfo=UTC)


def test_a_spread_gives_each_collection_a_time_of_its_own():
    settings = ScheduleSettings(every="6h", spread="2h")
    offsets = {name: compute_offset(settings, name) for name in map(str, range(200))}
    assert all(0 <= offset < 7200 for offset in offsets.values())
    # As even as chance makes it: a sixth of the names in each sixth of the time.
    counts = np.histogram(list(offsets.values()), bins=6, range=(0, 7200))[0]
    assert counts.min() >= 15
    for name in ("0", "1"):
        trigger = build_cycle_trigger(settings, name)
        due = trigger.get_next_fire_time(None, NOON + timedelta(seconds=1))
        late = timedelta(seconds=offsets[name])
        assert abs(due - NOON - late) < timedelta(milliseconds=1)


def test_drills_are_half_an_interval_off_the_cycles():
    settings = ScheduleSettings(every="6h", drill_every="6h")
    trigger = build_drill_trigger(settings)
    assert trigger.get_next_fire_time(None, NOON) == NOON + timedelta(hours=3)
    assert build_drill_trigger(ScheduleSettings(every="6h")) is None


def test_jobs_run_on_time_and_each_is_handed_its_own_kind():
    recorder = Recorder()
    schedule = recorder.schedule(docs=ScheduleSettings(every="1s", drill_every="1s"))
    with schedule.run(run_at_start=False) as running:
        assert running.is_running()
        wait_until(lambda: {CycleJob("docs"), DrillJob("docs")} <= set(recorder.jobs))
    assert not running.is_running()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_schedule_whose_thread_has_died_does_not_run(monkeypatch):
    def end_thread(_):
        raise SystemExit

    with Recorder().schedule(docs=ScheduleSettings(every="1s")).run(run_at_start=False) as running:
        monkeypatch.setattr(BackgroundScheduler, "_process_jobs", end_thread)
        wait_until(lambda: not running.is_running())
        assert running.scheduler.running


def test_experiments_are_reviewed_also_where_no_cycle_runs():
    recorder = Recorder()
    schedule = Schedule({}, {"docs": 1.0}, recorder.run_job, recorder.report_skipped_job)
    with schedule.run(run_at_start=True) as running:
        wait_until(lambda: len(recorder.jobs) >= 2)
        assert running.find_next_cycles() == {}
    assert set(recorder.jobs) == {ReviewJob("docs")}


def test_drills_run_also_where_no_cycle_does():
    recorder = Recorder()
    with recorder.schedule(docs=ScheduleSettings(drill_every="1s")).run(run_at_start=True):
        wait_until(lambda: recorder.jobs)
    assert set(recorder.jobs) == {DrillJob("docs")}
    tables = {"docs": {"schedule": {"drill_every": "7d"}}, "tools": {}}
    config = Config(database={"connector": "any"}, collections=tables)
    assert select_schedules(config).keys() == {"docs"}
    scheduled = {job for name in tables for job in (CycleJob(name), DrillJob(name))}
    assert {job for job in scheduled if is_scheduled(job, config)} == {DrillJob("docs")}
    refuse_idle_config(config)


def test_at_the_start_every_cycle_runs_and_no_drill():
    recorder = Recorder()
    settings = ScheduleSettings(every="1d", drill_every="1d")
    with recorder.schedule(docs=settings, tools=settings).run(run_at_start=True) as running:
        wait_until(lambda: len(recorder.jobs) == 2)
        assert running.find_next_cycles().keys() == {"docs", "tools"}
    assert set(recorder.jobs) == {CycleJob("docs"), CycleJob("tools")}


def test_the_next_cycles_are_told_in_seconds_since_1970():
    schedule = Recorder().schedule(docs=ScheduleSettings(every="1d", drill_every="1h"))
    with schedule.run(run_at_start=False) as running:
        due = running.find_next_cycles()
    assert due.keys() == {"docs"}
    assert 0 < due["docs"] - time.time() <= 86_400


def test_a_run_before_that_has_not_ended_leaves_the_next_one_out():
    block = threading.Event()
    recorder = Recorder(block)
    schedule = recorder.schedule(docs=ScheduleSettings(every="1s"))
    with schedule.run(run_at_start=False):
        wait_until(lambda: recorder.skipped)
        block.set()
    assert recorder.skipped[0] == (CycleJob("docs"), "the run before has not ended")


def test_who_waited_longest_is_next():
    """Of three collections for which there is not enough time, none is left behind."""
    names = ("a", "b", "c")
    slow = Recorder()

    def run_slowly(job):
        slow.jobs.append(job.collection)
        time.sleep(0.6)

    settings = dict.fromkeys(names, ScheduleSettings(every="2s", misfire_grace_seconds=1))
    schedule = Schedule(settings, {}, run_slowly, slow.report_skipped_job, max_parallel=1)
    with schedule.run(run_at_start=False):
        wait_until(lambda: len(slow.jobs) >= 6)
    assert slow.jobs[:6] == [*names, *names]


def test_reviews_do_not_wait_for_cycles():
    block = threading.Event()
    recorder = Recorder()

    def run_job(job):
        recorder.run_job(job)
        if isinstance(job, CycleJob):
            assert block.wait(DEADLINE_SECONDS)

    settings = dict.fromkeys(("a", "b"), ScheduleSettings(every="1d"))
    schedule = Schedule(settings, {"a": 1.0}, run_job, recorder.report_skipped_job, max_parallel=1)
    with schedule.run(run_at_start=True):
        wait_until(lambda: ReviewJob("a") in recorder.jobs)
        assert sum(isinstance(job, CycleJob) for job in recorder.jobs) == 1
        block.set()


def test_leaving_waits_for_the_job_under_way():
    block = threading.Event()
    recorder = Recorder(block)
    ended = []
    with recorder.schedule(docs=ScheduleSettings(every="1d")).run(run_at_start=True):
        wait_until(lambda: recorder.jobs)
        threading.Timer(0.2, lambda: (ended.append(True), block.set())).start()
    assert ended == [True]


def test_other_jobs_can_take_over_while_one_is_under_way():
    release = threading.Event()
    recorder = Recorder(release)
    schedule = recorder.schedule(
        docs=ScheduleSettings(every="1d", drill_every="7d"), old=ScheduleSettings(every="1d")
    )
    with schedule.run(run_at_start=True) as running:
        wait_until(lambda: len(recorder.jobs) == 2)
        running.replace_jobs(
            {"docs": ScheduleSettings(every="1s"), "new": ScheduleSettings(every="1d")}, {}
        )
        assert running.find_next_cycles().keys() == {"docs", "new"}
        # The run under way has not ended, so those that come due are left out.
        wait_until(lambda: (CycleJob("docs"), "the run before has not ended") in recorder.skipped)
        assert recorder.jobs.count(CycleJob("docs")) == 1
        release.set()
        wait_until(lambda: recorder.jobs.count(CycleJob("docs")) > 1)
    assert DrillJob("docs") not in recorder.jobs
    assert recorder.jobs.count(CycleJob("old")) == 1
