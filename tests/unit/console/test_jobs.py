"""Work in the background."""

from __future__ import annotations

import logging
import time
from threading import Event

import pytest

from nudge_sync.console.jobs import MAX_KEPT_JOBS, MAX_WAITING_JOBS, JobBoard
from nudge_sync.errors import InputError, Unreachable
from tests.support.timeouts import TIMEOUT_SECONDS


@pytest.fixture
def board():
    opened = JobBoard()
    yield opened
    opened.close()


def wait(job):
    end = time.monotonic() + TIMEOUT_SECONDS
    while not job.is_finished:
        assert time.monotonic() < end
        time.sleep(0.005)
    return job


def test_a_result_and_its_progress_are_kept(board):
    def work(progress):
        progress("read", 3, 7)
        return "done"

    job = wait(board.start(("a",), "work", work))
    assert (job.state, job.result, job.error) == ("done", "done", "")
    assert (job.stage, job.done, job.total) == ("read", 3, 7)
    assert board.find_latest("a") is job
    assert board.get(job.job_id) is job
    assert board.find_latest("b") is None


def test_the_same_work_is_not_started_twice(board):
    release = Event()
    first = board.start(("a",), "work", lambda _: release.wait(TIMEOUT_SECONDS))
    assert board.start(("a",), "work", lambda _: None) is first
    release.set()
    wait(first)
    again = board.start(("a",), "work", lambda _: 2)
    assert again is not first
    assert wait(again).result == 2


def test_too_much_waiting_work_is_refused(board):
    release = Event()
    jobs = [
        board.start((str(number),), "work", lambda _: release.wait(TIMEOUT_SECONDS))
        for number in range(MAX_WAITING_JOBS)
    ]
    with pytest.raises(Unreachable, match="try again"):
        board.start(("more",), "work", lambda _: None)
    release.set()
    for job in jobs:
        wait(job)


def test_an_error_is_a_sentence_and_a_bug_keeps_its_secrets(board, caplog):
    def fail(error):
        raise error

    known = wait(board.start(("a",), "work", lambda _: fail(InputError("no such point"))))
    assert (known.state, known.error) == ("failed", "no such point")
    with caplog.at_level(logging.ERROR, "nudge_sync"):
        bug = wait(board.start(("b",), "work", lambda _: fail(ValueError("password"))))
    assert bug.error == "unexpected ValueError; this is a bug"
    assert "password" not in caplog.text
    assert wait(board.start(("c",), "work", lambda _: 1)).result == 1


def test_old_results_go(board):
    for number in range(MAX_KEPT_JOBS + 5):
        wait(board.start((str(number),), "work", lambda _: None))
    assert len(board.list_jobs()) <= MAX_KEPT_JOBS + 1
    assert board.find_latest("0") is None


def test_closing_ends_the_work_at_its_next_report():
    board = JobBoard()
    begun, release = Event(), Event()

    def work(progress):
        begun.set()
        release.wait(TIMEOUT_SECONDS)
        while True:
            progress("work", 0, 0)

    job = board.start(("a",), "work", work)
    begun.wait(TIMEOUT_SECONDS)
    release.set()
    board.close()
    assert job.state == "failed"
