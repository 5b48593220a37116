"""When a Milvus connector had compared rows and not yet written them, seen from its requests."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable
from threading import Semaphore
from typing import Any

TimeSpan = tuple[float, float]
"""From and until, in seconds of `time.monotonic`."""


class WriteWindows:
    """Listens on the connection of a sidecar, several of whose writes may be under way at once.

    A point's window lasts from the start of the last read of it before an upsert to that upsert's
    answer. No two writes are of the same point.
    """

    def __init__(self, connection: Any, collection: str) -> None:
        self._send, self._collection = connection.call, collection
        self._last_reads: dict[int, float] = {}
        self.by_point: dict[int, list[TimeSpan]] = defaultdict(list)
        """The windows in which each point was."""
        self.read_starts = Semaphore(0)
        """Released twice as each read begins, for writes that should come at the worst moment."""
        connection.call = self.record_call

    def record_call(self, method: str, request: Any) -> Any:
        """Do what the connection's own `call` does, and note when."""
        if getattr(request, "collection_name", "") != self._collection:
            return self._send(method, request)
        began = time.monotonic()
        if method == "Query":
            self.read_starts.release(2)
        try:
            return self._send(method, request)
        finally:
            if method == "Query":
                self._last_reads |= dict.fromkeys(_list_queried_ids(request), began)
            if method == "Upsert":
                for point in _list_point_ids(request):
                    self.by_point[point].append((self._last_reads[point], time.monotonic()))

    def covers(self, point: int, write: TimeSpan) -> bool:
        """Return whether an application's write of the point overlaps a window of that point."""
        return any(start <= write[1] and write[0] <= end for start, end in self.by_point[point])

    def longest_seconds(self) -> float:
        """Return how long the longest window lasted, in seconds; 0 where there was none."""
        spans = [span for point_spans in self.by_point.values() for span in point_spans]
        return max((end - start for start, end in spans), default=0.0)


def _list_queried_ids(request: Any) -> Iterable[int]:
    listed = re.search(r"\bin \[([\d,]*)\]", request.expr)
    return [int(key) for key in listed[1].split(",")] if listed and listed[1] else ()


def _list_point_ids(request: Any) -> Iterable[int]:
    column = next(field for field in request.fields_data if field.field_name == "id")
    return column.scalars.long_data.data
