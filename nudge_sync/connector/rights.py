"""What a user of a database may not do, where the database can say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable


@runtime_checkable
class GuardedDatabase(Protocol):
    """A database that can say what its user may not do. Connectors may do without."""

    def missing_rights(self, collection: str, companions: Sequence[str]) -> list[str]:
        """Return, a sentence each, what a change of `collection` needs and the user may not.

        companions: the sidecar's own collections, to be written, and made where they are missing.
        Changes nothing.
        """
        ...
