"""Several calls under way at once, with their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
