"""Chunks of the work on several threads: NumPy lets go of the interpreter while it computes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")
_threads: ContextVar[int] = ContextVar("threads", default=0)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def cores() -> int:
    """How many cores this process may use; `OMP_NUM_THREADS` lowers it, as for other libraries."""
    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable, int(asked)) if asked.isdecimal() and int(asked) > 0 else usable


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """At most `threads` threads for what is computed inside; 0: as many as outside, one a core."""
    token = _threads.set(threads or _threads.get())
    try:
        if threads > 0:
            with _libraries().limit(limits=threads):
                yield
        else:
            yield
    finally:
        _threads.reset(token)


def spread(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`work` done on each item, in their order, on as many threads as are allowed."""
    count = min(_threads.get() or cores(), len(items))
    if count <= 1:
        return [work(one) for one in items]
    done: dict[int, Result] = {}
    ahead = iter(list(enumerate(items)))

    def run() -> None:
        for number, one in ahead:
            done[number] = work(one)

    # One thread a matrix product: the products themselves run side by side.
    with _libraries().limit(limits=1), ThreadPoolExecutor(count - 1) as pool:
        waiting = [pool.submit(copy_context().run, run) for _ in range(count - 1)]
        try:
            run()
        finally:
            deque(ahead, maxlen=0)
        for one in waiting:
            one.result()
    return [done[number] for number in range(len(items))]
