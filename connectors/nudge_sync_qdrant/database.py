"""A Qdrant server, or qdrant-client's local mode, as a nudge-sync database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nudge_sync.connector import DatabaseFacts, Record
from nudge_sync.connector.secrets import refuse_secrets_in_table
from nudge_sync.connector.settings import validate_settings
from nudge_sync.errors import ConfigError
from nudge_sync_qdrant.client import CONDITIONAL_UPDATE_RELEASE, Connection
from nudge_sync_qdrant.collection import QdrantCollection
from nudge_sync_qdrant.records import QdrantRecords
from nudge_sync_qdrant.settings import QdrantSettings
from nudge_sync_qdrant_common.log_documents import to_log_document


def connect(section: Mapping[str, Any]) -> QdrantDatabase:
    """The database that the section names; a server is not asked yet. Raises ConfigError."""
    refuse_secrets_in_table(section, "database", "QDRANT_API_KEY", "api_key_file")
    return QdrantDatabase(Connection(validate_settings(QdrantSettings, section, "database")))


class QdrantDatabase:
    """See `nudge_sync.connector.Database`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def describe(self) -> DatabaseFacts:
        """See `Database`. A swap is atomic on servers from 1.16, which know conditional updates.

        In local mode it is atomic too: no other process can open the directory.
        """
        with self.connection.translate_errors("the server"):
            # The version is told to anybody; this is not.
            self.connection.client.get_collections()
        return DatabaseFacts(
            product="Qdrant (local mode)" if self.connection.is_local else "Qdrant",
            version=self.connection.version,
            atomic_swap=self.connection.is_at_least(CONDITIONAL_UPDATE_RELEASE),
        )

    def collection(self, name: str, vector: str = "") -> QdrantCollection:
        """See `Database`."""
        mark = self.connection.settings.payload_mark
        if mark and not self.connection.is_at_least(CONDITIONAL_UPDATE_RELEASE):
            raise ConfigError(
                "database.payload_mark needs Qdrant 1.16 or later; this is "
                f"{self.connection.version}"
            )
        return QdrantCollection(self.connection, name, vector)

    def records(self, name: str, dimension: int = 0, indexed: Sequence[str] = ()) -> QdrantRecords:
        """See `Database`."""
        return QdrantRecords(self.connection, name, dimension, indexed)

    def documents(
        self, name: str, vector: str | None = None, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `DocumentReader`."""
        offset: Any = None
        vector_selector = [vector] if vector else vector is not None
        while True:
            with self.connection.translate_errors(f'"{name}"'):
                points, offset = self.connection.client.scroll(
                    name,
                    limit=batch_size,
                    offset=offset,
                    with_payload=True,
                    with_vectors=vector_selector,
                )
            if points:
                yield [to_log_document(point, vector) for point in points]
            if offset is None:
                return

    def close(self) -> None:
        """See `Database`."""
        self.connection.close()
