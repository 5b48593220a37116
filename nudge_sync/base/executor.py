"""Where independent tasks run: here, one after the other, or on the workers of an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from nudge_sync.base.threads import Item, Result

Shared = TypeVar("Shared")


class Executor(Protocol):
    """Runs a pure function on many items, and gives the results in their order.

    Results are those of `LOCAL` bit for bit, whatever runs them and however many at once.
    """

    def map(
        self, work: Callable[[Shared, Item], Result], shared: Shared, items: Sequence[Item]
    ) -> Iterator[Result]:
        """Return an iterator over `work(shared, item)` for each item, in their order.

        work: a function of a module that changes nothing but caches. shared, items, results: data
        that can be pickled, and no connection or secret. Closing the iterator gives up what is left
        of the work. Raises what `work` raises.
        """
        ...


class LocalExecutor:
    """Runs each task in this thread, when its result is asked for."""

    def map(
        self, work: Callable[[Shared, Item], Result], shared: Shared, items: Sequence[Item]
    ) -> Iterator[Result]:
        """Return an iterator that computes `work(shared, item)` for each item as it goes."""
        return (work(shared, item) for item in items)


LOCAL: Executor = LocalExecutor()
"""The executor of whoever names no other."""
