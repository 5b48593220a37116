"""Garbage collection pauses while somebody needs it to, and comes back after the last one."""

from __future__ import annotations

import gc

import pytest

from nudge_sync.base.gc_pause import pause_gc


def test_the_last_one_out_puts_back_what_the_first_one_found():
    found = gc.get_threshold()
    one, other = pause_gc(), pause_gc()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert gc.get_threshold()[0] > found[0]
    other.__exit__(None, None, None)
    assert gc.get_threshold() == found


def test_garbage_is_looked_for_again_after_an_error():
    found = gc.get_threshold()
    with pytest.raises(KeyError), pause_gc():
        raise KeyError
    assert gc.get_threshold() == found
