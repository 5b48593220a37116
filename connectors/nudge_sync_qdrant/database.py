"""A Qdrant server, or qdrant-client's local mode, as a nudge-sync database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from nudge_sync.connector import (
    DatabaseFacts,
    Record,
    Replication,
    parse_version,
    refuse_secrets_in_table,
    validate_settings,
)
from nudge_sync.errors import CollectionNotFound, ConfigError
from nudge_sync_qdrant.client import CONDITIONAL_UPDATE_RELEASE, OLDEST_RELEASE, Connection
from nudge_sync_qdrant.collection import QdrantCollection
from nudge_sync_qdrant.log_documents import scan_log_documents
from nudge_sync_qdrant.records import QdrantRecords
from nudge_sync_qdrant.replicas import plan_replication, read_replication, replicate
from nudge_sync_qdrant.rights import probe_rights
from nudge_sync_qdrant.settings import QdrantSettings


def connect(section: Mapping[str, Any]) -> QdrantDatabase:
    """Return the database that the section names; a server is not asked yet. Raises ConfigError."""
    refuse_secrets_in_table(section, "database", "QDRANT_API_KEY", "api_key_file")
    return QdrantDatabase(Connection(validate_settings(QdrantSettings, section, "database")))


class QdrantDatabase:
    """See `nudge_sync.connector.Database`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def describe(self) -> DatabaseFacts:
        """See `Database.describe`. A swap is atomic from Qdrant 1.16, with conditional updates.

        In local mode it is atomic too: no other process can open the directory.
        """
        with self.connection.translate_errors("all collections"):
            # Anybody may ask for the version; this needs the key.
            self.connection.client.get_collections()
        return DatabaseFacts(
            product="Qdrant (local mode)" if self.connection.is_local else "Qdrant",
            version=self._describe_version(),
            atomic_swap=self.connection.is_at_least(CONDITIONAL_UPDATE_RELEASE),
            storage_path=self.connection.settings.path,
            notes=() if self.connection.is_local else tuple(self._list_notes()),
        )

    def _list_notes(self) -> Iterator[str]:
        oldest, newest = self.connection.node_versions[0], self.connection.node_versions[-1]
        client = version("qdrant-client")
        if parse_version(oldest) < OLDEST_RELEASE:
            yield (
                f"Qdrant {oldest} is older than {'.'.join(map(str, OLDEST_RELEASE))}, the oldest "
                "that nudge-sync is made for: it ignores conditions on updates, so two sidecars "
                "that start in the same moment may both take the lease; update the server"
            )
        if parse_version(newest)[:2] > parse_version(client)[:2]:
            yield (
                f"Qdrant {newest} is newer than qdrant-client {client}, through which nudge-sync "
                "speaks to it; update qdrant-client"
            )
        yield (
            "Qdrant does not say how much room its disk has left; what it refuses for want of room "
            "ends with DiskFull, so watch its disk"
        )

    def _describe_version(self) -> str:
        """Return the version, or the oldest and the newest where nodes of a cluster differ."""
        if self.connection.is_local:
            return self.connection.version
        oldest, *_, newest = (*self.connection.node_versions, self.connection.node_versions[-1])
        return oldest if oldest == newest else f"{oldest} to {newest}"

    def collection(self, name: str, vector: str = "") -> QdrantCollection:
        """See `Database.collection`. Raises ConfigError for a mark that the server cannot check."""
        mark = self.connection.settings.payload_mark
        if mark and not self.connection.is_at_least(CONDITIONAL_UPDATE_RELEASE):
            raise ConfigError(
                "database.payload_mark needs Qdrant 1.16 or later; this is "
                f"{self.connection.version}"
            )
        return QdrantCollection(self.connection, name, vector)

    def records(self, name: str, dimension: int = 0, indexed: Sequence[str] = ()) -> QdrantRecords:
        """See `Database.records`."""
        return QdrantRecords(self.connection, name, dimension, indexed)

    def records_beside(
        self, collection: str, name: str, dimension: int = 0, indexed: Sequence[str] = ()
    ) -> QdrantRecords:
        """See `ReplicatedDatabase.records_beside`. Records without vectors have one shard."""
        return QdrantRecords(self.connection, name, dimension, indexed, collection)

    def replication(self, name: str, beside: str = "") -> Replication | None:
        """See `ReplicatedDatabase.replication`. None too where the key may not ask."""
        known = read_replication(self.connection, name)
        return known if known or not beside else plan_replication(self.connection, beside)

    def replicate(self, name: str, wanted: Replication) -> list[str]:
        """See `ReplicatedDatabase.replicate`. Needs a key that may manage the cluster."""
        return replicate(self.connection, name, wanted)

    def missing_rights(self, collection: str, companions: Sequence[str]) -> list[str]:
        """See `GuardedDatabase.missing_rights`."""
        return list(probe_rights(self.connection, collection, companions))

    def size(self, name: str) -> int | None:
        """See `SizedDatabase.size`. While segments are rebuilt the server counts some twice."""
        try:
            with self.connection.translate_errors(f'"{name}"'):
                return self.connection.client.get_collection(name).points_count
        except CollectionNotFound:
            return 0

    def documents(
        self, name: str, vector: str | None = None, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `DocumentReader.documents`."""
        return scan_log_documents(self.connection, name, vector, batch_size)

    def close(self) -> None:
        """See `Database.close`."""
        self.connection.close()
