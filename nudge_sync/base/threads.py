"""Work on several threads: NumPy releases the interpreter lock while it computes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from numbers import Integral
from typing import TypeVar

from threadpoolctl import ThreadpoolController

from nudge_sync.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
_thread_limit: ContextVar[int] = ContextVar("threads", default=0)


@cache
def _get_threadpool_controller() -> ThreadpoolController:
    return ThreadpoolController()


def count_cores() -> int:
    """Return how many cores this process may use; `OMP_NUM_THREADS` can lower it."""
    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    omp_threads = os.environ.get("OMP_NUM_THREADS", "")
    return (
        min(usable, int(omp_threads))
        if omp_threads.isdecimal() and int(omp_threads) > 0
        else usable
    )


def count_threads() -> int:
    """Return how many threads work may use here: the limit of `limit_threads`, or all cores."""
    return _thread_limit.get() or count_cores()


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Compute on at most `threads` threads while inside; 0: on as many as outside.

    Where no limit was set, there is one thread a core. Raises InputError for any other value.
    """
    if not isinstance(threads, Integral) or threads < 0:
        raise InputError(f"threads is {threads!r}; it is a whole number, 0 for one per core")
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
    """Return `work(item)` for each item, in their order, computed on as many threads as allowed."""
    thread_count = min(count_threads(), len(items))
    if thread_count <= 1:
        return [work(item) for item in items]
    results: dict[int, Result] = {}
    remaining = iter(list(enumerate(items)))

    def process_remaining() -> None:
        for number, item in remaining:
            results[number] = work(item)

    # One thread for each matrix product: the products run side by side.
    with _get_threadpool_controller().limit(limits=1), ThreadPoolExecutor(thread_count - 1) as pool:
        futures = [
            pool.submit(copy_context().run, process_remaining) for _ in range(thread_count - 1)
        ]
        try:
            process_remaining()
        finally:
            deque(remaining, maxlen=0)
        for future in futures:
            future.result()
    return [results[number] for number in range(len(items))]
