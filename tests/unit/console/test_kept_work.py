"""An answer is kept while it is fresh, and an error until whoever waits for it has seen it."""

from __future__ import annotations

import time
from contextlib import closing
from itertools import count

import pytest

from nudge_sync.console.jobs import JobBoard
from nudge_sync.console.kept_work import (
    ERROR_SECONDS,
    FRESH_SECONDS,
    forget_answers,
    visit_work,
)
from nudge_sync.errors import Unreachable
from tests.support.timeouts import TIMEOUT_SECONDS

KEY = ("point", "docs", "17")


@pytest.fixture
def board():
    with closing(JobBoard()) as opened:
        yield opened


class Page:
    """A page whose answers are numbers, one more each time, and which can be made to fail."""

    def __init__(self, board):
        self.board = board
        self.numbers = count(1)
        self.is_down = False

    def work(self, _progress):
        if self.is_down:
            raise Unreachable("the database does not answer")
        return next(self.numbers)

    def visit(self):
        """Visit the page, and wait until what it shows is there."""
        kept = visit_work(self.board, KEY, lambda: self.board.start(KEY, "work", self.work))
        end = time.monotonic() + TIMEOUT_SECONDS
        while not kept.job.is_finished:
            assert time.monotonic() < end
            time.sleep(0.005)
        return visit_work(self.board, KEY, lambda: pytest.fail("it was begun once more"))


@pytest.fixture
def page(board):
    return Page(board)


def test_an_answer_is_worked_out_again_once_it_is_old(board, page):
    assert [page.visit().answer, page.visit().answer] == [1, 1]
    job = board.find_latest(*KEY)
    job.finished_at -= FRESH_SECONDS + 1
    started = []
    kept = visit_work(board, KEY, lambda: started.append(1) or job)
    # What is there is shown meanwhile, with its time.
    assert (kept.answer, kept.answered_at, started) == (1, job.finished_at, [1])
    assert page.visit().answer == 2


def test_an_error_is_shown_to_who_waits_and_not_to_a_later_visit(board, page):
    page.is_down = True
    assert page.visit().job.error == "the database does not answer"
    assert page.visit().job.error
    board.find_latest(*KEY).finished_at -= ERROR_SECONDS + 1
    page.is_down = False
    kept = page.visit()
    assert (kept.job.error, kept.answer, kept.is_current) == ("", 1, True)


def test_an_error_leaves_the_answer_before_it(board, page):
    answered_at = page.visit().answered_at
    board.find_latest(*KEY).finished_at = answered_at - FRESH_SECONDS - 1
    page.is_down = True
    kept = page.visit()
    assert kept.job.error
    assert (kept.answer, kept.is_current) == (1, False)
    assert kept.answered_at == answered_at - FRESH_SECONDS - 1


def test_what_an_action_may_have_changed_is_forgotten(board, page):
    page.visit()
    forget_answers(board, "others")
    assert page.visit().answer == 1
    forget_answers(board, "docs")
    assert page.visit().answer == 2
