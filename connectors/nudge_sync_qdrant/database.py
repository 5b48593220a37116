"""A Qdrant server, or qdrant-client's local mode, as a nudge-sync database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nudge_sync.connector import DatabaseFacts, Record
from nudge_sync.connector.secrets import refuse_in_table
from nudge_sync.connector.settings import validated
from nudge_sync.errors import ConfigError
from nudge_sync_qdrant.client import CONDITIONAL, Session
from nudge_sync_qdrant.collection import QdrantCollection
from nudge_sync_qdrant.records import QdrantRecords
from nudge_sync_qdrant.settings import Settings
from nudge_sync_qdrant_common.log_documents import document


def connect(section: Mapping[str, Any]) -> QdrantDatabase:
    """The database that the section names; a server is not asked yet. Raises ConfigError."""
    refuse_in_table(section, "database", "QDRANT_API_KEY", "api_key_file")
    return QdrantDatabase(Session(validated(Settings, section, "database")))


class QdrantDatabase:
    """See `nudge_sync.connector.Database`."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def describe(self) -> DatabaseFacts:
        """See `Database`. A swap is atomic on servers from 1.16, which know conditional updates.

        In local mode it is atomic too: no other process can open the directory.
        """
        with self.session.asking("the server"):
            # The version is told to anybody; this is not.
            self.session.client.get_collections()
        return DatabaseFacts(
            product="Qdrant (local mode)" if self.session.local else "Qdrant",
            version=self.session.version,
            atomic_swap=self.session.at_least(CONDITIONAL),
        )

    def collection(self, name: str, vector: str = "") -> QdrantCollection:
        """See `Database`."""
        mark = self.session.settings.payload_mark
        if mark and not self.session.at_least(CONDITIONAL):
            raise ConfigError(
                f"database.payload_mark needs Qdrant 1.16 or later; this is {self.session.version}"
            )
        return QdrantCollection(self.session, name, vector)

    def records(self, name: str, dimension: int = 0, indexed: Sequence[str] = ()) -> QdrantRecords:
        """See `Database`."""
        return QdrantRecords(self.session, name, dimension, indexed)

    def documents(
        self, name: str, vector: str | None = None, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `DocumentReader`."""
        offset: Any = None
        wanted = [vector] if vector else vector is not None
        while True:
            with self.session.asking(f'"{name}"'):
                found, offset = self.session.client.scroll(
                    name, limit=batch_size, offset=offset, with_payload=True, with_vectors=wanted
                )
            if found:
                yield [document(point, vector) for point in found]
            if offset is None:
                return

    def close(self) -> None:
        """See `Database`."""
        self.session.close()
