"""Work is spread over as many threads as are allowed, and comes back in order."""

from __future__ import annotations

import threading

import pytest

from nudge_sync.base.threads import count_cores, count_threads, limit_threads, map_in_threads
from nudge_sync.errors import InputError


def list_threads_used(threads, items=40):
    """The threads that took part in work where each waits for another, if there may be one."""
    seen = set()
    together = threading.Barrier(threads)

    def work(number):
        seen.add(threading.get_ident())
        if number < threads:
            together.wait(300)
        return number

    with limit_threads(threads):
        assert map_in_threads(work, range(items)) == list(range(items))
    return seen


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_work_is_done_in_order_by_as_many_threads_as_are_allowed(threads):
    assert len(list_threads_used(threads)) == threads


def test_a_limit_of_nothing_leaves_the_outer_one():
    with limit_threads(1), limit_threads(0):
        found = map_in_threads(lambda _: threading.get_ident(), range(20))
    assert set(found) == {threading.get_ident()}


@pytest.mark.parametrize("threads", [-1, 1.5, "2", None])
def test_what_is_no_number_of_threads_is_refused(threads):
    with (
        pytest.raises(InputError, match=r"threads is .* 0 for one per core"),
        limit_threads(threads),
    ):
        pass


def test_work_that_fails_raises():
    def work(number):
        if number == 1:
            raise ValueError("broken")

    with limit_threads(2), pytest.raises(ValueError, match="broken"):
        map_in_threads(work, range(1000))


def test_nothing_to_do_is_nothing_done():
    assert map_in_threads(lambda one: one, []) == []


def test_the_threads_to_use_are_the_limit_or_all_cores():
    assert count_threads() == count_cores()
    with limit_threads(3):
        assert count_threads() == 3
        with limit_threads(0):
            assert count_threads() == 3
