from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pymilvus.grpc_gen import milvus_pb2

from nudge_sync.connector import DatabaseFacts, Record
from nudge_sync.connector.secrets import refuse_in_table
from nudge_sync.connector.settings import validated
from nudge_sync_milvus.client import Wire
from nudge_sync_milvus.collection import MilvusCollection
from nudge_sync_milvus.create import load
from nudge_sync_milvus.layout import layout
from nudge_sync_milvus.log_documents import documents
from nudge_sync_milvus.records import MilvusRecords
from nudge_sync_milvus.settings import REQUEST_BYTES, Settings

PARTIAL_SINCE = (2, 6, 2)
LITE = "milvus_lite-"


def connect(section: Mapping[str, Any]) -> MilvusDatabase:
    """An open Milvus server or Milvus Lite file.

    Raises ConfigError, Unreachable, Unauthorised.
    """
    refuse_in_table(section, "database", "MILVUS_TOKEN", "token_file")
    return MilvusDatabase(validated(Settings, section, "database"))


class MilvusDatabase:
    """A connection to Milvus 2.3 to 3.x, or a Milvus Lite file in this process."""

    def __init__(self, settings: Settings, *, request_bytes: int = REQUEST_BYTES) -> None:
        self._settings = settings
        self._request_bytes = request_bytes
        self.wire = Wire(settings)
        try:
            self._version = self._ask_version()
        except BaseException:
            self.wire.close()
            raise

    def describe(self) -> DatabaseFacts:
        """See the contract."""
        self._version = self._ask_version()
        product = "Milvus Lite" if self._lite else "Milvus"
        return DatabaseFacts(product, self._version.removeprefix(LITE), atomic_swap=False)

    def collection(self, name: str, vector: str = "") -> MilvusCollection:
        """See the contract. Milvus Lite forgets what was loaded when it ends: it is loaded here."""
        layout(self.wire, name, vector)
        if self._lite:
            load(self.wire, name)
        return MilvusCollection(
            self.wire,
            name,
            vector,
            settings=self._settings,
            partial=self._lite or _numbers(self._version) >= PARTIAL_SINCE,
            request_bytes=self._request_bytes,
        )

    def records(self, name: str, dimension: int = 0, indexed: Sequence[str] = ()) -> MilvusRecords:
        """See the contract."""
        return MilvusRecords(self.wire, name, dimension, indexed, request_bytes=self._request_bytes)

    def documents(
        self, name: str, vector: str | None = None, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See the contract."""
        return documents(self.wire, name, vector, batch_size)

    def close(self) -> None:
        """See the contract."""
        self.wire.close()

    @property
    def _lite(self) -> bool:
        return self._version.startswith(LITE)

    def _ask_version(self) -> str:
        answer = self.wire.call("GetVersion", milvus_pb2.GetVersionRequest())
        return str(answer.version).removeprefix("v")


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: 2.6.2-rc1 is (2, 6, 2)."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()
