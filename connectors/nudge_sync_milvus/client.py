from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc

from nudge_sync.errors import ConfigError, Unreachable
from nudge_sync_milvus.errors import Secrets, encoded, from_rpc, raise_for_status
from nudge_sync_milvus.lite import LiteServer
from nudge_sync_milvus.settings import Settings

STRONG = common_pb2.ConsistencyLevel.Strong
SESSION = common_pb2.ConsistencyLevel.Session
CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class Wire:
    """One gRPC channel to Milvus, through the messages that pymilvus generates.

    pymilvus's own client is left out on purpose: it turns columns into Python rows and back,
    which is slow and not exact (JSON is parsed and printed again), repeats failed calls by itself,
    and logs what it raises.
    """

    def __init__(self, settings: Settings) -> None:
        self._lite = LiteServer(settings.uri) if settings.lite else None
        self.address = self._lite.address if self._lite else settings.address
        self._timeout = settings.timeout
        self._channel = _channel(self.address, settings)
        self._stub = milvus_pb2_grpc.MilvusServiceStub(self._channel)
        token = settings.token()
        self._metadata = _metadata(settings, token)
        self._secrets = Secrets(token)
        self._open = True

    def call(self, method: str, request: Any) -> Any:
        """The answer to one request.

        Raises what `failures` makes of a failed call or of a status that is not success.
        """
        where = f"Milvus at {self.address}, {method}{_subject(request)}"
        if not self._open:
            raise Unreachable(f"{where}: the connection was closed")
        try:
            answer = getattr(self._stub, method)(
                request, timeout=self._timeout, metadata=self._metadata
            )
        except grpc.RpcError as error:
            told = str(error)
            cause = error if self._secrets.hidden(told) == told else None
            raise from_rpc(error, where, self._secrets) from cause
        raise_for_status(getattr(answer, "status", answer), where, self._secrets)
        return answer

    def query(
        self,
        collection: str,
        filter_: str,
        fields: list[str],
        *,
        partition: str = "",
        since: int = 0,
        limit: int = 0,
        ordered: bool = False,
    ) -> Any:
        """The columns `fields` of the rows that `filter_` selects.

        Sees every write that has returned; with `since`, a write's timestamp, at least that one
        and those before it, which is quicker. `ordered`: asks Milvus Lite for key order, which a
        server keeps by itself where there is a `limit`.
        """
        options = {"limit": str(limit)} if limit else {}
        if ordered and self._lite:
            options["iterator"] = "True"
        request = milvus_pb2.QueryRequest(
            collection_name=collection,
            expr=filter_,
            output_fields=fields,
            partition_names=[partition] if partition else [],
            consistency_level=SESSION if since else STRONG,
            guarantee_timestamp=since,
            query_params=pairs(options),
        )
        return self.call("Query", request)

    def count(self, collection: str, filter_: str = "") -> int:
        """How many rows `filter_` selects, by a count that sees every write."""
        answer = self.query(collection, filter_, ["count(*)"])
        return int(answer.fields_data[0].scalars.long_data.data[0])

    @property
    def lite(self) -> bool:
        """Whether the other end is Milvus Lite in this process."""
        return self._lite is not None

    def close(self) -> None:
        """End the connection, and a Milvus Lite server that it started."""
        if self._open:
            self._open = False
            self._channel.close()
            if self._lite:
                self._lite.release()


def pairs(options: dict[str, str]) -> list[Any]:
    """`options` as Milvus's key-value messages."""
    return [common_pb2.KeyValuePair(key=key, value=value) for key, value in options.items()]


def _subject(request: Any) -> str:
    name = getattr(request, "collection_name", "")
    return f' of "{name}"' if name else ""


def _metadata(settings: Settings, token: str) -> tuple[tuple[str, str], ...]:
    headers = [("dbname", settings.db_name)] if settings.db_name else []
    if token:
        headers.append(("authorization", encoded(token)))
    return tuple(headers)


def _channel(address: str, settings: Settings) -> Any:
    if not settings.secure or settings.lite:
        return grpc.insecure_channel(address, options=CHANNEL)
    name = settings.server_name
    options = (*CHANNEL, ("grpc.ssl_target_name_override", name)) if name else CHANNEL
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_pem(settings.server_pem_path or settings.ca_pem_path),
        private_key=_pem(settings.client_key_path),
        certificate_chain=_pem(settings.client_pem_path),
    )
    return grpc.secure_channel(address, credentials, options=options)


def _pem(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise ConfigError(f"database: {path} cannot be read: {error.strerror}") from error
