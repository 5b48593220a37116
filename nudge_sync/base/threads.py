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
_thread_limit: ContextVar[int] = ContextVar("threads", default=0)


@cache
def _get_threadpool_controller() -> ThreadpoolController:
    return ThreadpoolController()


def count_cores() -> int:
    """How many cores this process may use; `OMP_NUM_THREADS` lowers it, as for other libraries."""
    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    omp_threads = os.environ.get("OMP_NUM_THREADS", "")
    return (
        min(usable, int(omp_threads))
        if omp_threads.isdecimal() and int(omp_threads) > 0
        else usable
    )


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """At most `threads` threads for what is computed inside; 0: as many as outside, one a core."""
    token = _thread_limit.set(threads or _thread_limit.get())
    try:
        if threads > 0:
            with _get_threadpool_controller().limit(limits=threads):
                yield
        else:
            yield
    finally:
        _thread_limit.reset(token)


def map_in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`work` done on each item, in their order, on as many threads as are allowed."""
    thread_count = min(_thread_limit.get() or count_cores(), len(items))
    if thread_count <= 1:
        return [work(one) for one in items]
    results: dict[int, Result] = {}
    remaining = iter(list(enumerate(items)))

    def process_remaining() -> None:
        for number, item in remaining:
            results[number] = work(item)

    # One thread a matrix product: the products themselves run side by side.
    with _get_threadpool_controller().limit(limits=1), ThreadPoolExecutor(thread_count - 1) as pool:
        futures = [
            pool.submit(copy_context().run, process_remaining) for _ in range(thread_count - 1)
        ]
        try:
            process_remaining()
        finally:
            deque(remaining, maxlen=0)
        for one in futures:
            one.result()
    return [results[number] for number in range(len(items))]
