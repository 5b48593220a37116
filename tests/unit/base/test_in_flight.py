"""Several calls at once, no more than allowed, their results in order, and none left behind;
and items that are made ahead of whoever works on them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from threading import Barrier, Event, Lock

import pytest

from nudge_sync.base.in_flight import iterate_ahead, keep_in_flight

PATIENCE_SECONDS = 30


class Gauge:
    """Counts how many calls are under way."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.now = 0
        self.most = 0
        self.begun: list[int] = []

    def call(self, number: int, until: Event | None = None) -> int:
        with self._lock:
            self.begun.append(number)
            self.now += 1
            self.most = max(self.most, self.now)
        if until is not None:
            assert until.wait(PATIENCE_SECONDS)
        with self._lock:
            self.now -= 1
        return number


def test_as_many_calls_as_allowed_are_under_way_at_once() -> None:
    # Each waits for the two others.
    barrier = Barrier(3, timeout=PATIENCE_SECONDS)
    received: list[int] = []
    keep_in_flight([barrier.wait] * 6, 3, received.append)
    assert sorted(received) == [0, 0, 1, 1, 2, 2]


def test_no_more_than_allowed_and_results_in_order() -> None:
    gauge, received = Gauge(), []
    keep_in_flight((partial(gauge.call, number) for number in range(50)), 3, received.append)
    assert received == list(range(50))
    assert gauge.most <= 3


def test_a_call_is_taken_only_once_there_is_room_for_it() -> None:
    taken: list[int] = []
    received: list[int] = []

    def list_calls() -> Iterator[Callable[[], int]]:
        for number in range(10):
            taken.append(number)
            assert len(taken) - len(received) <= 2
            yield partial(int, number)

    keep_in_flight(list_calls(), 2, received.append)
    assert len(taken) == len(received) == 10


def test_after_an_error_no_call_begins_and_those_under_way_end_first() -> None:
    gauge, failed = Gauge(), Event()

    def fail() -> int:
        failed.set()
        raise ValueError("no")

    calls = [fail, partial(gauge.call, 1, failed), *(partial(gauge.call, n) for n in range(2, 9))]
    with pytest.raises(ValueError, match="no"):
        keep_in_flight(calls, 2, lambda number: None)
    assert gauge.now == 0
    assert gauge.begun == [1]


def test_an_error_of_the_receiver_ends_it_too() -> None:
    gauge = Gauge()

    def receive(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_in_flight((partial(gauge.call, n) for n in range(9)), 2, receive)
    assert gauge.now == 0
    assert gauge.begun == [0, 1]


def test_an_error_while_calls_are_listed_waits_for_those_under_way() -> None:
    gauge, listed = Gauge(), Event()

    def list_calls() -> Iterator[Callable[[], int]]:
        yield partial(gauge.call, 0, listed)
        listed.set()
        raise ValueError("lease lost")

    with pytest.raises(ValueError, match="lease lost"):
        keep_in_flight(list_calls(), 2, lambda number: None)
    assert gauge.begun == [0]
    assert gauge.now == 0


def test_items_come_in_their_order() -> None:
    assert list(iterate_ahead(iter(range(100)))) == list(range(100))
    assert list(iterate_ahead(iter([]))) == []


def test_the_next_item_is_made_while_one_is_worked_on_and_no_more() -> None:
    made: list[int] = []
    is_made = [Event() for _ in range(5)]

    def make() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            is_made[number].set()
            yield number

    for number in iterate_ahead(make()):
        assert is_made[min(number + 1, 4)].wait(PATIENCE_SECONDS)
        assert len(made) <= number + 2


def test_an_error_comes_after_the_items_before_it() -> None:
    def make() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("no third")

    received: list[int] = []
    with pytest.raises(ValueError, match="no third"):
        received.extend(iterate_ahead(make()))
    assert received == [1, 2]


def test_whoever_stops_leaves_nothing_running() -> None:
    made: list[int] = []

    def make() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    items = iterate_ahead(make())
    assert next(items) == 0
    threads = threading.active_count()
    items.close()
    assert made == [0, 1]
    assert threading.active_count() == threads - 1
