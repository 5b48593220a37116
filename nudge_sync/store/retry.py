"""The one place where a failed request is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import chain, repeat
from typing import TypeVar

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.base.in_flight import keep_in_flight
from nudge_sync.connector import (
    Collection,
    CollectionFacts,
    Health,
    Hits,
    PointId,
    Points,
    Record,
    Records,
    Where,
    WriteReport,
)
from nudge_sync.errors import NudgeSyncError

DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between attempts; the last again and again, for those who wait longer."""
PATIENCE_SECONDS = 30.0
"""All pauses of a request together: half a minute covers a Milvus that restarts and loads again."""
SWAP_DELAYS = (*DELAYS, 15.0, 15.0, 15.0)
"""Seconds between attempts of a swap: on Milvus the claim of a process that died in one stands for
a minute."""
READ_BATCH, LARGEST_READ_BATCH = 1000, 10_000
"""Points that one of several reads under way at once asks for, at least and at most: on Milvus each
read waits for the server's clock, so that many small ones would wait longer than one."""
_Answer = TypeVar("_Answer")


class RetryingCollection(Collection):
    """A collection whose requests are tried again after a transient error, while patience lasts.

    `scan` is not: an iterator that broke half-way is started again by whoever consumes it.
    """

    def __init__(
        self,
        collection: Collection,
        before_retry: Callable[[], None] | None = None,
        patience: float = PATIENCE_SECONDS,
        parallel_calls: int = 1,
    ) -> None:
        """Wrap `collection`; `before_retry` is called before a write is tried again.

        patience: seconds that all pauses of one request may take together.
        parallel_calls: how many reads may be under way at once; see `CollectionFacts`.
        """
        self.wrapped = collection
        self._before_retry = before_retry
        self._patience = patience
        self._parallel_calls = parallel_calls

    def guard_writes(self, before_retry: Callable[[], None]) -> RetryingCollection:
        """Return the collection with a check before a write is tried again.

        before_retry: raises where the write must not be repeated any more.
        """
        return RetryingCollection(self.wrapped, before_retry, self._patience, self._parallel_calls)

    def describe(self) -> CollectionFacts:
        """See `Collection.describe`."""
        return self._retry(self.wrapped.describe)

    def read(self, ids: Sequence[PointId]) -> Points:
        """See `Collection.read`; in batches, as many at once as the collection allows.

        Each batch is tried again by itself.
        """
        if self._parallel_calls == 1 or len(ids) <= READ_BATCH:
            return self._read_batch(ids)
        batches: list[Points] = []
        share = -(-len(ids) // self._parallel_calls)
        size = min(LARGEST_READ_BATCH, max(READ_BATCH, share))
        starts = range(0, len(ids), size)
        reads = (partial(self._read_batch, ids[start : start + size]) for start in starts)
        keep_in_flight(reads, self._parallel_calls, batches.append)
        return Points(
            [point for batch in batches for point in batch.ids],
            np.concatenate([batch.vectors for batch in batches]),
        )

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """See `Collection.scan`."""
        return self.wrapped.scan(batch_size)

    def search(self, queries: Float32, k: int, *, exact: bool = False) -> Hits:
        """See `Collection.search`."""
        return self._retry(lambda: self.wrapped.search(queries, k, exact=exact))

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """See `Collection.write`."""
        return retry_transient(
            lambda: self.wrapped.write(points, expected), self._before_retry, self._patience
        )

    def health(self) -> Health:
        """See `Collection.health`."""
        return self._retry(self.wrapped.health)

    def _read_batch(self, ids: Sequence[PointId]) -> Points:
        return self._retry(lambda: self.wrapped.read(ids))

    def _retry(self, request: Callable[[], _Answer]) -> _Answer:
        return retry_transient(request, patience=self._patience)


class RetryingRecords(Records):
    """Records whose requests are tried again after a transient error, while patience lasts.

    `scan` is not: an iterator that broke half-way is started again by whoever consumes it.
    """

    def __init__(self, records: Records, patience: float = PATIENCE_SECONDS) -> None:
        """Wrap `records`; patience: seconds that all pauses of one request may take together."""
        self.wrapped = records
        self._patience = patience

    def put(self, records: Sequence[Record]) -> None:
        """See `Records.put`."""
        return self._retry(lambda: self.wrapped.put(records))

    def swap(self, record: Record, expected: int | None) -> bool:
        """See `Records.swap`; tried again as long as the stored record is the expected one.

        So an answer may be lost, and what a process that died in a swap left in its way may end.
        A swap that landed although its answer was lost would seem refused without that look.
        """
        for delay in max(SWAP_DELAYS, list_delays(self._patience), key=sum):
            try:
                if self.wrapped.swap(record, expected):
                    return True
            except NudgeSyncError as error:
                if not error.transient:
                    raise
            outcome = self._find_swap_outcome(record, expected)
            if outcome is not None:
                return outcome
            time.sleep(delay)
        return self.wrapped.swap(record, expected)

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """See `Records.get`."""
        return self._retry(lambda: self.wrapped.get(keys, vectors=vectors))

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `Records.scan`."""
        return self.wrapped.scan(where, vectors=vectors, batch_size=batch_size)

    def delete(self, keys: Sequence[str]) -> None:
        """See `Records.delete`."""
        return self._retry(lambda: self.wrapped.delete(keys))

    def count(self, where: Where | None = None) -> int:
        """See `Records.count`."""
        return self._retry(lambda: self.wrapped.count(where))

    def drop(self) -> None:
        """See `Records.drop`; not tried again."""
        self.wrapped.drop()

    def _retry(self, request: Callable[[], _Answer]) -> _Answer:
        return retry_transient(request, patience=self._patience)

    def _find_swap_outcome(self, record: Record, expected: int | None) -> bool | None:
        """Return whether the swap took place; None where it still may."""
        stored = self.get([record.key], vectors=False)
        document = stored[0].document if stored else {}
        if stored and document.get("seal") == record.document.get("seal"):
            return True
        return None if document.get("generation") == expected else False


_pause: ContextVar[Callable[[float], object]] = ContextVar("pause", default=time.sleep)
"""How to wait between two attempts, in seconds."""


@contextmanager
def pause_by(pause: Callable[[float], object]) -> Iterator[None]:
    """Wait by `pause(seconds)` between attempts while inside; what it raises goes through.

    For whoever may be asked to stop meanwhile. Threads that are started inside wait as ever.
    """
    token = _pause.set(pause)
    try:
        yield
    finally:
        _pause.reset(token)


def retry_transient(
    request: Callable[[], _Answer],
    before_retry: Callable[[], None] | None = None,
    patience: float = PATIENCE_SECONDS,
) -> _Answer:
    """Return the answer to a request that is tried again after each transient error.

    The last error says how often and for how long it was tried.
    before_retry: called after each pause; what it raises goes through.
    patience: seconds that all pauses may take together; 0: the request is not tried again.
    """
    delays = list_delays(patience)
    start = time.monotonic()
    for delay in delays:
        try:
            return request()
        except NudgeSyncError as error:
            if not error.transient:
                raise
        _pause.get()(delay)
        if before_retry is not None:
            before_retry()
    try:
        return request()
    except NudgeSyncError as error:
        if not (error.transient and delays):
            raise
        attempts = f"tried {len(delays) + 1} times in {time.monotonic() - start:.1f} s"
        raise type(error)(f"{error}; {attempts}") from error


def list_delays(patience: float) -> tuple[float, ...]:
    """Return the pauses between attempts, in seconds, which are `patience` together."""
    delays: list[float] = []
    left = patience
    for delay in chain(DELAYS, repeat(DELAYS[-1]) if DELAYS and DELAYS[-1] > 0 else ()):
        if left <= 0:
            break
        delays.append(min(delay, left))
        left -= delay
    return tuple(delays)
