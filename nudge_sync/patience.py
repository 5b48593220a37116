"""The one place where a failed request is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from nudge_sync.connector import Collection, Records
from nudge_sync.errors import NudgeSyncError

DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between attempts: half a minute covers a Milvus that restarts and loads again."""

_REPEATABLE = {"describe", "read", "search", "write", "health", "put", "get", "delete", "count"}
# `swap` is left out: a swap that landed although its answer was lost would be seen as refused.
# `scan` too: an iterator that broke half-way has to be started again by whoever consumed it.


class _Patient:
    def __init__(self, wrapped: object) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        return _retrying(found) if name in _REPEATABLE else found


def _retrying(call: Callable[..., Any]) -> Callable[..., Any]:
    def attempt(*args: Any, **kwargs: Any) -> Any:
        for delay in DELAYS:
            try:
                return call(*args, **kwargs)
            except NudgeSyncError as error:
                if not error.transient:
                    raise
            time.sleep(delay)
        return call(*args, **kwargs)

    return attempt


def patient_collection(collection: Collection) -> Collection:
    """The collection, with transient errors tried again for about half a minute."""
    return cast(Collection, _Patient(collection))


def patient_records(records: Records) -> Records:
    """The records, with transient errors tried again for about half a minute."""
    return cast(Records, _Patient(records))
