"""A database around another one that hands on every call, also those of the optional promises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nudge_sync.connector import (
    Collection,
    Database,
    DatabaseFacts,
    DocumentReader,
    GuardedDatabase,
    Record,
    Records,
    ReplicatedDatabase,
    Replication,
    find_replication,
    find_size,
    open_records_beside,
)


class WrappedDatabase:
    """A `Database` that otherwise is `inner`; to be derived from.

    What `inner` does not promise of copies, rights and sizes is answered as if nobody had asked.
    """

    def __init__(self, inner: Database) -> None:
        self.inner = inner

    def describe(self) -> DatabaseFacts:
        """See `Database.describe`."""
        return self.inner.describe()

    def collection(self, name: str, vector: str = "") -> Collection:
        """See `Database.collection`."""
        return self.inner.collection(name, vector)

    def records(self, name: str, dimension: int = 0, indexed: Sequence[str] = ()) -> Records:
        """See `Database.records`."""
        return self.inner.records(name, dimension, indexed)

    def records_beside(
        self, collection: str, name: str, dimension: int = 0, indexed: Sequence[str] = ()
    ) -> Records:
        """See `ReplicatedDatabase.records_beside`."""
        return open_records_beside(self.inner, collection, name, dimension, indexed)

    def replication(self, name: str, beside: str = "") -> Replication | None:
        """See `ReplicatedDatabase.replication`."""
        return find_replication(self.inner, name, beside)

    def replicate(self, name: str, wanted: Replication) -> list[str]:
        """See `ReplicatedDatabase.replicate`."""
        if isinstance(self.inner, ReplicatedDatabase):
            return self.inner.replicate(name, wanted)
        return []

    def missing_rights(self, collection: str, companions: Sequence[str]) -> list[str]:
        """See `GuardedDatabase.missing_rights`."""
        if isinstance(self.inner, GuardedDatabase):
            return self.inner.missing_rights(collection, companions)
        return []

    def size(self, name: str) -> int | None:
        """See `SizedDatabase.size`."""
        return find_size(self.inner, name)

    def documents(
        self, name: str, vector: str | None = None, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `DocumentReader.documents`, which `inner` has to promise."""
        assert isinstance(self.inner, DocumentReader)
        return self.inner.documents(name, vector, batch_size)

    def close(self) -> None:
        """See `Database.close`."""
        self.inner.close()
