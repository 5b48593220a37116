"""Copies of collections, of any database: also of one that knows nothing of them."""

from __future__ import annotations

from collections.abc import Sequence

from nudge_sync.connector.contract import Database, Records, ReplicatedDatabase, Replication


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
