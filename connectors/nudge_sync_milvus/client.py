"""The connection to a Milvus server or to Milvus Lite."""

from __future__ import annotations

from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc

from nudge_sync.errors import ConfigError, Unreachable
from nudge_sync_milvus.errors import (
    SecretRedactor,
    encode_token,
    raise_for_status,
    translate_grpc_error,
)
from nudge_sync_milvus.lite import LiteServer
from nudge_sync_milvus.settings import MilvusSettings

STRONG = common_pb2.ConsistencyLevel.Strong
"""A read that sees every write that has returned."""
_SESSION = common_pb2.ConsistencyLevel.Session
"""A read that sees at least the writes up to a timestamp that it names."""
_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)
"""No limit on messages here (Milvus has its own), no hidden retries, and a dead peer is noticed."""

_OPEN_WINDOWS = 2
"""Chunks that may be between compare and upsert at once: more would slow each other down, and a
row is open to being overwritten meanwhile. Other chunks are read back at the same time."""


class Connection:
    """One gRPC channel to Milvus, through the messages that pymilvus generates.

    pymilvus's own client is left out on purpose: it turns columns into Python rows and back,
    which is slow and not exact (JSON is parsed and printed again), repeats failed calls by itself,
    and logs what it raises.
    """

    def __init__(self, settings: MilvusSettings) -> None:
        self._lite_server = LiteServer(settings.uri) if settings.is_lite else None
        self.address = self._lite_server.address if self._lite_server else settings.address
        self._timeout = settings.timeout
        self._channel = _open_channel(self.address, settings)
        self._stub = milvus_pb2_grpc.MilvusServiceStub(self._channel)
        token = settings.read_token()
        self._metadata = _build_metadata(settings, token)
        self._redactor = SecretRedactor(token)
        self.windows = BoundedSemaphore(_OPEN_WINDOWS)
        """Held by each chunk of rows from its compare to its upsert."""
        self._is_open = True

    def call(self, method: str, request: Any) -> Any:
        """Return the answer to one request.

        method: its name in Milvus's gRPC service. Raises a DatabaseError (see the module `errors`)
        where the call failed or the answer's status is not success.
        """
        request_label = f"Milvus at {self.address}, {method}{_describe_subject(request)}"
        if not self._is_open:
            raise Unreachable(f"{request_label}: the connection was closed")
        try:
            answer = getattr(self._stub, method)(
                request, timeout=self._timeout, metadata=self._metadata
            )
        except grpc.RpcError as error:
            error_text = str(error)
            cause = error if self._redactor.redact(error_text) == error_text else None
            raise translate_grpc_error(error, request_label, self._redactor) from cause
        raise_for_status(getattr(answer, "status", answer), request_label, self._redactor)
        return answer

    def query(
        self,
        collection: str,
        filter_: str,
        fields: list[str],
        *,
        partition: str = "",
        guarantee_timestamp: int = 0,
        limit: int = 0,
        ordered: bool = False,
    ) -> Any:
        """Return the columns `fields` of the rows that `filter_` selects.

        Sees every write that has returned. partition: "" means all of them.
        guarantee_timestamp: of a write; the answer then sees at least that write and those before
        it, which is quicker. limit: 0 means none.
        ordered: ask Milvus Lite for key order, which a server keeps by itself under a `limit`.
        """
        options = {"limit": str(limit)} if limit else {}
        if ordered and self._lite_server:
            options["iterator"] = "True"
        request = milvus_pb2.QueryRequest(
            collection_name=collection,
            expr=filter_,
            output_fields=fields,
            partition_names=[partition] if partition else [],
            consistency_level=_SESSION if guarantee_timestamp else STRONG,
            guarantee_timestamp=guarantee_timestamp,
            query_params=to_key_value_pairs(options),
        )
        return self.call("Query", request)

    def count(self, collection: str, filter_: str = "") -> int:
        """Return how many rows `filter_` selects, by a count that sees every write."""
        answer = self.query(collection, filter_, ["count(*)"])
        return int(answer.fields_data[0].scalars.long_data.data[0])

    @property
    def is_lite(self) -> bool:
        """Whether the other end is Milvus Lite in this process."""
        return self._lite_server is not None

    def close(self) -> None:
        """End the connection, and a Milvus Lite server that it started."""
        if self._is_open:
            self._is_open = False
            self._channel.close()
            if self._lite_server:
                self._lite_server.release()


def to_key_value_pairs(options: dict[str, str]) -> list[Any]:
    """Return options as Milvus's key-value messages."""
    return [common_pb2.KeyValuePair(key=key, value=value) for key, value in options.items()]


def _describe_subject(request: Any) -> str:
    name = getattr(request, "collection_name", "")
    return f' of "{name}"' if name else ""


def _build_metadata(settings: MilvusSettings, token: str) -> tuple[tuple[str, str], ...]:
    headers = [("dbname", settings.db_name)] if settings.db_name else []
    if token:
        headers.append(("authorization", encode_token(token)))
    return tuple(headers)


def _open_channel(address: str, settings: MilvusSettings) -> Any:
    if not settings.is_secure or settings.is_lite:
        return grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)
    name = settings.server_name
    options = (
        (*_CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", name)) if name else _CHANNEL_OPTIONS
    )
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_read_pem(settings.server_pem_path or settings.ca_pem_path),
        private_key=_read_pem(settings.client_key_path),
        certificate_chain=_read_pem(settings.client_pem_path),
    )
    return grpc.secure_channel(address, credentials, options=options)


def _read_pem(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise ConfigError(f"database: {path} cannot be read: {error.strerror}") from error
