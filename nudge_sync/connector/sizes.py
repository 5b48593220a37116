"""How many records a collection holds, where a database knows it without counting them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from nudge_sync.connector.contract import Database


@runtime_checkable
class SizedDatabase(Protocol):
    """A database that knows at any time how many records a collection holds.

    Connectors may do without. Then records are counted.
    """

    def size(self, name: str) -> int | None:
        """Return how many records the sidecar's own collection `name` holds; 0 where there is none.

        Takes as long for a million records as for one. For an answer to be compared with an earlier
        one: it differs where the number of records does. It may also differ where that is the
        same, as some databases hold a record twice for a while. None where it is not known.
        """
        ...


def find_size(database: Database, name: str) -> int | None:
    """Return what `SizedDatabase.size` does; None where the database does not say."""
    return database.size(name) if isinstance(database, SizedDatabase) else None
