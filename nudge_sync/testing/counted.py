"""A wrapper around any database that counts what is asked of its collections; for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nudge_sync.connector import (
    Collection,
    CollectionFacts,
    Database,
    Float32,
    Health,
    Hits,
    PointId,
    Points,
    ServingCollection,
    WriteReport,
)
from nudge_sync.testing.wrapping import WrappedDatabase


@dataclass
class Counts:
    """What was asked of the user's collections."""

    calls: Counter[str] = field(default_factory=Counter)
    """Calls, by the name of the method."""
    read: set[PointId] = field(default_factory=set)
    """Ids that were read."""
    read_rows: int = 0
    """Rows that reads asked for; an id that was read twice counts twice."""
    written: set[PointId] = field(default_factory=set)
    """Ids that were to be written."""
    scanned: int = 0
    """Points that went by in scans."""
    searched: int = 0
    """Queries."""

    @property
    def touched(self) -> int:
        """How many points were read or written by id."""
        return len(self.read | self.written)


class Counted(WrappedDatabase):
    """A `Database` that counts in `counts`, and otherwise is the one it wraps."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.counts = Counts()

    def collection(self, name: str, vector: str = "") -> CountedCollection:
        """See `Database.collection`."""
        collection = super().collection(name, vector)
        if isinstance(collection, ServingCollection):
            return CountedServingCollection(collection, collection, self.counts)
        return CountedCollection(collection, self.counts)


class CountedCollection:
    """A `Collection` that counts for `Counted`."""

    def __init__(self, collection: Collection, counts: Counts) -> None:
        self._collection = collection
        self._counts = counts

    def describe(self) -> CollectionFacts:
        """See `Collection.describe`."""
        self._counts.calls["describe"] += 1
        return self._collection.describe()

    def read(self, ids: Sequence[PointId]) -> Points:
        """See `Collection.read`."""
        self._counts.calls["read"] += 1
        self._counts.read.update(ids)
        self._counts.read_rows += len(ids)
        return self._collection.read(ids)

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """See `Collection.scan`."""
        self._counts.calls["scan"] += 1
        for points in self._collection.scan(batch_size):
            self._counts.scanned += len(points)
            yield points

    def search(self, queries: Float32, k: int, *, exact: bool = False) -> Hits:
        """See `Collection.search`."""
        self._counts.calls["search"] += 1
        self._counts.searched += len(queries)
        return self._collection.search(queries, k, exact=exact)

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """See `Collection.write`."""
        self._counts.calls["write"] += 1
        self._counts.written.update(points.ids)
        return self._collection.write(points, expected)

    def health(self) -> Health:
        """See `Collection.health`."""
        self._counts.calls["health"] += 1
        return self._collection.health()


class CountedServingCollection(CountedCollection):
    """A `ServingCollection` that counts for `Counted`."""

    def __init__(self, collection: Collection, serving: ServingCollection, counts: Counts) -> None:
        super().__init__(collection, counts)
        self._serving = serving

    def serve_search(self, query: Float32, k: int, filter_: Any = None) -> Hits:
        """See `ServingCollection.serve_search`."""
        self._counts.calls["serve_search"] += 1
        self._counts.searched += 1
        return self._serving.serve_search(query, k, filter_)

    def select_ids(self, ids: Sequence[PointId], filter_: Any = None) -> list[PointId]:
        """See `ServingCollection.select_ids`."""
        self._counts.calls["select_ids"] += 1
        self._counts.read.update(ids)
        return self._serving.select_ids(ids, filter_)
