"""A Milvus server, or a Milvus Lite file, as a nudge-sync database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pymilvus.grpc_gen import milvus_pb2

from nudge_sync.connector import (
    DatabaseFacts,
    Record,
    Replication,
    describe_near_names,
    parse_version,
    refuse_secrets_in_table,
    validate_settings,
)
from nudge_sync.errors import CollectionNotFound, NudgeSyncError
from nudge_sync_milvus.client import Connection
from nudge_sync_milvus.collection import MilvusCollection
from nudge_sync_milvus.create import load_collection
from nudge_sync_milvus.layout import UpsertSupport, resolve_layout
from nudge_sync_milvus.log_documents import scan_log_documents
from nudge_sync_milvus.records import MilvusRecords
from nudge_sync_milvus.replicas import plan_replication, read_replication, replicate
from nudge_sync_milvus.settings import MAX_REQUEST_BYTES, MilvusSettings

_PARTIAL_UPDATE_RELEASE = (2, 6, 2)
"""Since when an upsert may carry the vector alone."""
_KEPT_AUTO_ID_RELEASE = (3, 0, 2)
"""Since when a row keeps a key that the server made (milvus #53336), by Milvus's own word."""
_TESTED_RELEASE = (2, 3)
"""Of servers, what the connector's tests run on."""
_LITE_VERSION_MARKER = "milvus_lite-"
"""What Milvus Lite puts before its version."""


def connect(section: Mapping[str, Any]) -> MilvusDatabase:
    """Open a Milvus server or a Milvus Lite file.

    Raises ConfigError, Unreachable, Unauthorised.
    """
    refuse_secrets_in_table(section, "database", "MILVUS_TOKEN", "token_file")
    return MilvusDatabase(validate_settings(MilvusSettings, section, "database"))


class MilvusDatabase:
    """See `nudge_sync.connector.Database`. Milvus 2.3 to 3.x, or Milvus Lite in this process."""

    def __init__(self, settings: MilvusSettings, *, request_bytes: int = MAX_REQUEST_BYTES) -> None:
        self._settings = settings
        self._request_bytes = request_bytes
        self.connection = Connection(settings)
        try:
            self._version = self._fetch_version()
        except BaseException:
            self.connection.close()
            raise

    def describe(self) -> DatabaseFacts:
        """See `Database.describe`."""
        self._version = self._fetch_version()
        product = "Milvus Lite" if self._is_lite else "Milvus"
        return DatabaseFacts(
            product,
            self._version.removeprefix(_LITE_VERSION_MARKER),
            atomic_swap=False,
            storage_path=Path(self._settings.uri).parent if self._settings.is_lite else None,
            notes=() if self._is_lite else tuple(self._list_notes()),
        )

    def _list_notes(self) -> Iterator[str]:
        if parse_version(self._version)[:2] != _TESTED_RELEASE:
            yield (
                f"nudge-sync's tests never ran on Milvus {self._version}, only on 2.3.5 and on "
                "Milvus Lite: what is newer in it was read in its documentation; try it on a copy"
            )
        yield (
            "Milvus does not say how much room is left where it stores; what it refuses for want "
            "of room ends with DiskFull, so watch its storage"
        )

    def collection(self, name: str, vector: str = "") -> MilvusCollection:
        """See `Database.collection`. In Milvus Lite, which forgets when it ends, it is loaded."""
        try:
            resolve_layout(self.connection, name, vector)
        except CollectionNotFound as error:
            raise CollectionNotFound(f"{error}{self._describe_others(name)}") from error
        if self._is_lite:
            load_collection(self.connection, name)
        return MilvusCollection(
            self.connection,
            name,
            vector,
            settings=self._settings,
            support=self._find_upsert_support(),
            request_bytes=self._request_bytes,
        )

    def records(self, name: str, dimension: int = 0, indexed: Sequence[str] = ()) -> MilvusRecords:
        """See `Database.records`."""
        return self.records_beside("", name, dimension, indexed)

    def records_beside(
        self, collection: str, name: str, dimension: int = 0, indexed: Sequence[str] = ()
    ) -> MilvusRecords:
        """See `ReplicatedDatabase.records_beside`. Copies are of what is loaded in memory."""
        return MilvusRecords(
            self.connection,
            name,
            dimension,
            indexed,
            settings=self._settings,
            request_bytes=self._request_bytes,
            beside=collection,
        )

    def replication(self, name: str, beside: str = "") -> Replication | None:
        """See `ReplicatedDatabase.replication`. Nothing is known of what is not loaded."""
        known = read_replication(self.connection, name)
        if known or not beside:
            return known
        return plan_replication(self.connection, self._settings, beside)

    def replicate(self, name: str, wanted: Replication) -> list[str]:
        """See `ReplicatedDatabase.replicate`, and the module `replicas` for older servers."""
        groups = tuple(self._settings.resource_groups)
        return replicate(self.connection, name, wanted, groups)

    def documents(
        self, name: str, vector: str | None = None, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `DocumentReader.documents`."""
        return scan_log_documents(self.connection, name, vector, batch_size)

    def close(self) -> None:
        """See `Database.close`."""
        self.connection.close()

    def _find_upsert_support(self) -> UpsertSupport:
        version = parse_version(self._version)
        return UpsertSupport(
            is_partial=self._is_lite or version >= _PARTIAL_UPDATE_RELEASE,
            keeps_auto_ids=self._is_lite or version >= _KEPT_AUTO_ID_RELEASE,
        )

    def _describe_others(self, name: str) -> str:
        with suppress(NudgeSyncError):
            request = milvus_pb2.ShowCollectionsRequest()
            names = self.connection.call("ShowCollections", request).collection_names
            return describe_near_names(name, names)
        return ""

    @property
    def _is_lite(self) -> bool:
        return self._version.startswith(_LITE_VERSION_MARKER)

    def _fetch_version(self) -> str:
        answer = self.connection.call("GetVersion", milvus_pb2.GetVersionRequest())
        return str(answer.version).removeprefix("v")
