"""Copies of collections: what a database may promise of them, and those that promise nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from nudge_sync.connector.contract import Database, Records


@dataclass(frozen=True, slots=True)
class Replication:
    """How many copies of a collection a cluster keeps, on nodes of their own.

    Numbers of one shard are those of the shard with the fewest.
    """

    factor: int = 1
    """Copies of each shard that the collection is to have."""
    replicas: int = 1
    """Copies of each shard that there are, whatever state they are in."""
    active: int = 1
    """Copies of each shard that are complete and in use."""
    write_consistency: int = 1
    """Copies that have to take a write before it counts."""
    shards: int = 1
    """Parts that the points are divided into."""


@runtime_checkable
class ReplicatedDatabase(Protocol):
    """A database that can keep several copies of a collection.

    Connectors may do without. Then nothing is known of copies, and the sidecar's collections are
    made by `Database.records`.
    """

    def records_beside(
        self, collection: str, name: str, dimension: int = 0, indexed: Sequence[str] = ()
    ) -> Records:
        """Return the sidecar's own collection `name`, as `Database.records` does.

        The first `put` or `swap` makes it with as many copies as `collection` has, and as many of
        them have to take a write, unless the `[database]` table says otherwise.
        """
        ...

    def replication(self, name: str, beside: str = "") -> Replication | None:
        """Return how many copies there are of a collection, the sidecar's or the user's.

        beside: a collection; where there is no `name`, what the sidecar's own collection of that
        name would get beside it. Returns None where there is neither, and outside a cluster.
        """
        ...

    def replicate(self, name: str, wanted: Replication) -> list[str]:
        """Begin to give the sidecar's own collection `name` the copies that `wanted` has.

        Only adds: never fewer copies than there are, and no record changes. Returns, a sentence
        each, what was begun, and [] once all copies are there; call it again to see.
        Raises UnsupportedCollection where the cluster has too few nodes.
        """
        ...


def open_records_beside(
    database: Database,
    collection: str,
    name: str,
    dimension: int = 0,
    indexed: Sequence[str] = (),
) -> Records:
    """Return the sidecar's own collection `name`, with the copies of `collection` where it can."""
    if isinstance(database, ReplicatedDatabase):
        return database.records_beside(collection, name, dimension, indexed)
    return database.records(name, dimension, indexed)


def find_replication(database: Database, name: str, beside: str = "") -> Replication | None:
    """Return how many copies there are of a collection; None where the database does not say.

    beside: a collection; where there is no `name`, what one made beside it would get.
    """
    if isinstance(database, ReplicatedDatabase):
        return database.replication(name, beside)
    return None
