"""When a Milvus connector had compared rows and not written them yet, as its requests tell."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from threading import Semaphore
from typing import Any

Stretch = tuple[float, float]


class Windows:
    """Listens on the wire of a sidecar that works in one thread, one chunk at a time.

    A window lasts from the start of the last read before an upsert to that upsert's answer.
    """

    def __init__(self, wire: Any, collection: str) -> None:
        self._call, self._collection, self._read = wire.call, collection, 0.0
        self.of: dict[int, list[Stretch]] = defaultdict(list)
        """By point."""
        self.reads = Semaphore(0)
        """Released twice as each read begins: for writes that shall come at the worst moment."""
        wire.call = self.call

    def call(self, method: str, request: Any) -> Any:
        """The wire's own, with an eye on the clock."""
        if getattr(request, "collection_name", "") != self._collection:
            return self._call(method, request)
        began = time.monotonic()
        if method == "Query":
            self.reads.release(2)
        try:
            return self._call(method, request)
        finally:
            if method == "Query":
                self._read = began
            if method == "Upsert":
                for point in _keys(request):
                    self.of[point].append((self._read, time.monotonic()))

    def explain(self, point: int, write: Stretch) -> bool:
        """Whether an application's write of the point overlaps a window of the same point."""
        return any(start <= write[1] and write[0] <= end for start, end in self.of[point])

    def longest(self) -> float:
        """Seconds."""
        every = [end - start for stretches in self.of.values() for start, end in stretches]
        return max(every, default=0.0)


def _keys(request: Any) -> Iterable[int]:
    column = next(field for field in request.fields_data if field.field_name == "id")
    return column.scalars.long_data.data
