"""What a database has to do for nudge-sync. Each promise that it must keep stands here alone.

A connector is a package with a function `connect(section) -> Database`, registered under the
entry-point group `nudge_sync.connectors`. `section` is the `[database]` table of the TOML file
without its `connector` key, unread by the core; secrets come from environment variables that the
connector reads by itself. Connectors are synchronous. They translate the client's exceptions into
those of `nudge_sync.errors` (the client's own as `__cause__`) and stop there: no retries, no
sleeping, no logging, no caches. Arrays handed in are never changed.
`nudge_sync.testing.conformance` is the kit that every connector has to pass, and
`docs/connectors.md` the way to a connector of one's own. What a connector may offer beyond this
stands in `replication`, `serving`, `rights` and `sizes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from nudge_sync.base.arrays import Float32

PointId: TypeAlias = int | str
"""An integer, or a string; a Qdrant UUID is its canonical lower-case string."""
Scalar: TypeAlias = str | int | float | bool
"""What a field of a document must hold so that `Where` can name it."""
Where: TypeAlias = Mapping[str, Scalar | tuple[float, float]]
"""Top-level document fields: a scalar must equal, a pair (low, high) means low <= value < high."""
Document: TypeAlias = dict[str, Any]
"""What JSON can hold, with string keys."""
Metric: TypeAlias = Literal["cosine", "dot", "euclid"]
"""How a collection measures nearness."""
LARGEST_ANSWER = 16_384
"""The most points that every database returns for one query; Milvus gives no more."""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """Which database answered, and what it can do."""

    product: str
    """Its name, for people."""
    version: str
    """The version as the server reports it."""
    atomic_swap: bool
    """Whether `Records.swap` is one atomic step, also against other processes."""
    storage_path: Path | None = None
    """The folder on this machine's disk that writes go to; None for a server, and in memory."""
    notes: tuple[str, ...] = ()
    """Each a sentence on what to know of it before it is written to, such as an untried version."""


@dataclass(frozen=True, slots=True)
class CollectionFacts:
    """What a collection is; the core decides which of them it refuses to work on."""

    name: str
    """The name asked for, which may be an alias."""
    collection: str
    """The real collection behind it; equal to `name` where there is no alias."""
    vector: str
    """The vector's name; "" for the collection's default (in Milvus: its first vector field)."""
    dimension: int
    metric: Metric
    integer_ids: bool
    """Whether ids are integers. Qdrant holds integers and UUIDs side by side: then False."""
    points: int
    """How many points there are, or nearly: some databases only estimate."""
    precision: str
    """How a component is stored: float32, float16, ..."""
    rescales: bool
    """Whether a write may change the last bits (about 1e-7) even of a unit-length vector."""
    problems: tuple[str, ...] = ()
    """Each a sentence on what stands in the way of a safe write, and what would work instead."""
    parallel_calls: int = 1
    """How many calls of `read` or `search`, of `write` for other points each, or of `Records.count`
    may be under way at once, in threads."""
    exact_search: bool = False
    """Whether the database itself answers `search(exact=True)`; elsewhere that reads every vector,
    or goes through the index all the same."""


@dataclass(frozen=True, slots=True)
class Points:
    """Ids and, row by row, their vectors: (n, d) float32."""

    ids: list[PointId]
    vectors: Float32

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Hits:
    """The answers to a batch of queries, best first, one entry a query.

    `scores` grow with nearness: cosine, dot product, or minus the Euclidean distance.
    """

    ids: list[list[PointId]]
    scores: list[Float32]


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What became of each row of a `Collection.write`; the three lists are disjoint."""

    written: list[PointId] = field(default_factory=list)
    """Now holds the new vector, read back; also a row that held it already."""
    drifted: list[PointId] = field(default_factory=list)
    """Held neither the expected nor the new vector, and was left alone."""
    missing: list[PointId] = field(default_factory=list)
    """No longer exists, and was not created."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the index keeps up with writes, and if not, why."""

    ready: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One of the sidecar's own records."""

    key: str
    document: Document
    vector: Float32 | None = None
    """(d,), or None where it was not asked for or the records hold none."""


@runtime_checkable
class Collection(Protocol):
    """The user's vectors: one vector field of one collection."""

    def describe(self) -> CollectionFacts:
        """Return what the collection is now.

        Raises CollectionNotFound.
        """
        ...

    def read(self, ids: Sequence[PointId]) -> Points:
        """Return the stored vectors of `ids`, in the order asked, missing ids left out.

        Sees every write, of anyone, that has returned. Any number of ids; a connector splits
        requests by itself. An id of a type the collection cannot hold is a missing one.
        A point without this vector is missing too.
        """
        ...

    def scan(self, batch_size: int = 1000) -> Iterator[Points]:
        """Yield every point once, in any order, in batches of about `batch_size`; never payload."""
        ...

    def search(self, queries: Float32, k: int, *, exact: bool = False) -> Hits:
        """Return the `k` best points of each query: (q, d).

        Any number of queries. Scores come from the full-precision vectors, also on a quantised
        index. `exact` bypasses the approximate index where the database can. Queries of another
        dimension, or that are not finite, raise InputError; a `k` below 1 finds nothing.
        """
        ...

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """Replace the vectors of existing points, where they still hold `expected`: (n, d).

        Values, never deltas: repeating a write is harmless. Payload, scalar fields, partitions
        and other vectors stay untouched; nothing is created. Rows whose live vector is neither
        the expected nor the new one, bit for bit, and rows that are gone, are left alone and
        reported. Returns when every row it calls written has been read back bit for bit (within
        1e-6 a component where the collection `rescales`), else raises WriteNotVerified.
        May have written some rows when it raises: any error leaves each row with its expected or
        its new vector, or with what the application wrote. Ids are unique within a call; vectors
        that are not finite raise InputError before anything is written.
        The connector's class docstring states the window between its compare and its write.
        """
        ...

    def health(self) -> Health:
        """Return whether the index keeps up, so that a writer can pause."""
        ...


@runtime_checkable
class Records(Protocol):
    """The sidecar's own collection: keys, JSON documents and, if dimension > 0, vectors.

    Reading records that were never put finds nothing and creates nothing; the first `put` or
    `swap` creates the collection. Vectors come back bit for bit, whatever their length.
    The collection may have been created for vectors of another dimension. Then records are stored
    beside those there are, and each vector comes back with as many numbers as it was stored with.
    Every call sees every call that has returned. Keys are any non-empty strings (also 64 KB long,
    with quotes, line breaks or NUL in them). An empty key, a document that JSON cannot hold, and a
    vector that is not finite or not of the records' dimension raise InputError before anything is
    stored.
    """

    def put(self, records: Sequence[Record]) -> None:
        """Store records, replacing those with the same key; durable when it returns."""
        ...

    def swap(self, record: Record, expected: int | None) -> bool:
        """Store the record if the stored one's document["generation"] equals `expected`.

        expected: None if there should be no such record. Returns False, and changes nothing, where
        it differs.
        Atomic where `DatabaseFacts.atomic_swap`; elsewhere the window is stated by the connector.
        """
        ...

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """Return records in the order asked, missing keys left out."""
        ...

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """Yield every record that matches, once, in any order, in batches."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Remove records; keys that are not there are ignored."""
        ...

    def count(self, where: Where | None = None) -> int:
        """Return how many records match, exactly."""
        ...

    def drop(self) -> None:
        """Remove the whole collection of records; nothing happens where there is none."""
        ...


@runtime_checkable
class Database(Protocol):
    """An open connection."""

    def describe(self) -> DatabaseFacts:
        """Return which database answered.

        Raises Unreachable or Unauthorised.
        """
        ...

    def collection(self, name: str, vector: str = "") -> Collection:
        """Return the user's collection `name` (or alias) and its vector; "" means the default one.

        Raises CollectionNotFound, and UnsupportedCollection where there is no such vector or the
        default is not clear (the message lists the names).
        """
        ...

    def records(self, name: str, dimension: int = 0, indexed: Sequence[str] = ()) -> Records:
        """Return the sidecar's own collection `name`, which need not exist yet.

        dimension: of the vectors that are stored; 0 where there are none. Those that are stored
        already may be of another.
        indexed: the fields that `where` will name.
        """
        ...

    def close(self) -> None:
        """Let go of everything; may be called twice."""
        ...


@runtime_checkable
class DocumentReader(Protocol):
    """A database that can also read everything in a collection of the application's own.

    It serves logs of searches that the application keeps in one. Connectors may do without.
    """

    def documents(
        self, name: str, vector: str | None = None, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """Yield every point once, in any order: its id as text, its payload, and its `vector`.

        vector: "" means the default one, None that none is read. A point without it has None.
        Raises CollectionNotFound.
        """
        ...


Connect: TypeAlias = Callable[[Mapping[str, Any]], Database]
"""What a connector registers: it opens the database that the `[database]` table describes."""
