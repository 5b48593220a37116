"""Signals: the first asks the work to stop, the second has its usual effect."""

from __future__ import annotations

import signal
import threading

import pytest

from nudge_sync.base.signals import (
    StopRequest,
    handle_reload_signal,
    handle_stop_signals,
)
from nudge_sync.errors import Interrupted


def test_a_request_is_raised_where_the_work_looks():
    stop = StopRequest()
    stop.raise_if_requested()
    stop.request()
    with pytest.raises(Interrupted):
        stop.raise_if_requested()
    assert stop.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_tells_and_the_second_has_its_usual_effect(number):
    usual = []
    previous = signal.signal(number, lambda *_: usual.append(number))
    told = []
    try:
        with handle_stop_signals(StopRequest(), lambda: told.append(number)) as stop:
            signal.raise_signal(number)
            assert (stop.requested.is_set(), stop.signal_number) == (True, number)
            assert (told, usual) == ([number], [])
            signal.raise_signal(number)
            assert (told, usual) == ([number], [number])
        signal.raise_signal(number)
        assert usual == [number, number]
    finally:
        signal.signal(number, previous)


def test_handlers_come_back_after_an_error():
    previous = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError), handle_stop_signals(StopRequest()):
        raise KeyError
    assert signal.getsignal(signal.SIGTERM) is previous


def test_outside_the_main_thread_signals_are_left_alone():
    previous = signal.getsignal(signal.SIGTERM)
    inside = []

    def work() -> None:
        with handle_stop_signals(StopRequest()):
            inside.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [previous]


def test_waiting_ends_when_another_thread_asks():
    stop = StopRequest()
    assert not stop.wait(0)
    threading.Timer(0.05, stop.request).start()
    assert stop.wait(60)
    assert stop.requested.is_set()


def test_a_reload_is_asked_for_as_often_as_the_signal_comes():
    previous = signal.getsignal(signal.SIGHUP)
    with handle_reload_signal(threading.Event()) as requested:
        for _ in range(2):
            signal.raise_signal(signal.SIGHUP)
            assert requested.is_set()
            requested.clear()
    assert signal.getsignal(signal.SIGHUP) is previous
