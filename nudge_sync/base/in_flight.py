"""Several calls under way at once, with their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def keep_in_flight(
    calls: Iterable[Callable[[], _Result]], limit: int, receive: Callable[[_Result], None]
) -> None:
    """Run calls, up to `limit` at once, and hand what they return to `receive`, in their order.

    calls: the next one is taken only once there is room for it. It is taken, and `receive` is
    called, in the thread of the caller.
    After an error, whoever's it is, no further call begins; it is raised when those under way have
    ended, and what they return is dropped.
    """
    with ThreadPoolExecutor(limit) as pool:
        in_flight: deque[Future[_Result]] = deque()
        for call in calls:
            in_flight.append(pool.submit(call))
            if len(in_flight) == limit:
                receive(in_flight.popleft().result())
        while in_flight:
            receive(in_flight.popleft().result())


def iterate_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield `items`, each of which another thread makes while the caller works on the one before.

    An error in making one is raised here, after those before it. Whoever stops early waits until
    the one that is being made is ready, and no other is begun.
    """
    context = copy_context()
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(context.run, _take_one, items)
        while taken := following.result():
            following = pool.submit(context.run, _take_one, items)
            yield from taken


def _take_one(items: Iterator[_Item]) -> list[_Item]:
    """Return the next item alone, or none at the end."""
    return list(islice(items, 1))
