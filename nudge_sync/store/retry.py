"""The one place where a failed request is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from nudge_sync.connector import Collection, Float32, Points, Record, Records, WriteReport
from nudge_sync.errors import NudgeSyncError

DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between attempts: half a minute covers a Milvus that restarts and loads again."""
SWAP_DELAYS = (*DELAYS, 15.0, 15.0, 15.0)
"""The same for `swap`: on Milvus the claim of a process that died in one stands for a minute."""

_RETRIED_METHODS = {
    "describe",
    "read",
    "search",
    "write",
    "health",
    "put",
    "get",
    "delete",
    "count",
}
# `swap` needs a look first: one that landed although its answer was lost would seem refused.
# `scan` is left out: an iterator that broke half-way is started again by whoever consumes it.


class _RetryingProxy:
    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._wrapped, name)
        return _with_retries(attribute) if name in _RETRIED_METHODS else attribute


class _RetryingCollection(_RetryingProxy):
    before_retry: Callable[[], None] | None = None
    """Called before a write is tried again."""

    def write(self, points: Points, expected: Float32) -> WriteReport:
        report: WriteReport = _with_retries(self._wrapped.write, self.before_retry)(
            points, expected
        )
        return report


class _RetryingRecords(_RetryingProxy):
    def swap(self, record: Record, expected: int | None) -> bool:
        """The contract's, tried again as long as the stored record is still the expected one.

        So an answer may be lost, and what a process that died in a swap left in its way may end.
        """
        for delay in SWAP_DELAYS:
            try:
                if self._wrapped.swap(record, expected):
                    return True
            except NudgeSyncError as error:
                if not error.transient:
                    raise
            outcome = self._find_swap_outcome(record, expected)
            if outcome is not None:
                return outcome
            time.sleep(delay)
        return bool(self._wrapped.swap(record, expected))

    def _find_swap_outcome(self, record: Record, expected: int | None) -> bool | None:
        """Whether the swap took place or cannot any more; None where it still may."""
        stored = self.get([record.key], vectors=False)
        document = stored[0].document if stored else {}
        if stored and document.get("seal") == record.document.get("seal"):
            return True
        return None if document.get("generation") == expected else False


def _with_retries(
    call: Callable[..., Any], before_retry: Callable[[], None] | None = None
) -> Callable[..., Any]:
    def attempt(*args: Any, **kwargs: Any) -> Any:
        for delay in DELAYS:
            try:
                return call(*args, **kwargs)
            except NudgeSyncError as error:
                if not error.transient:
                    raise
            time.sleep(delay)
            if before_retry is not None:
                before_retry()
        return call(*args, **kwargs)

    return attempt


def add_collection_retries(collection: Collection) -> Collection:
    """The collection, with transient errors tried again for about half a minute."""
    return cast(Collection, _RetryingCollection(collection))


def guard_collection_retries(
    collection: Collection, before_retry: Callable[[], None]
) -> Collection:
    """The same patient collection, with `between` called before a write is tried again.

    It raises where the write must not be repeated any more.
    """
    wrapped = collection._wrapped if isinstance(collection, _RetryingProxy) else collection  # noqa: SLF001
    guarded = _RetryingCollection(wrapped)
    guarded.before_retry = before_retry
    return cast(Collection, guarded)


def add_record_retries(records: Records) -> Records:
    """The records, with transient errors tried again for about half a minute."""
    return cast(Records, _RetryingRecords(records))
