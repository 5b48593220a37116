"""The `[database]` table for the connector "qdrant"."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from nudge_sync.connector import (
    Section,
    VariableName,
    read_secret,
    refuse_secrets_in_address,
)

_USUAL_REST_PORT = 6333
"""Where a server listens unless told otherwise."""


class QdrantSettings(Section):
    """One of `url`, `path` and `location`, and how to get there."""

    url: str | None = None
    """Such as http://localhost:6333; 6333 if it names no port."""
    path: Path | None = None
    """qdrant-client's local mode on disk: a re-implementation, for small collections only."""
    location: Literal[":memory:"] | None = None
    """qdrant-client's local mode in memory."""
    prefer_grpc: bool | None = None
    """Send all requests over gRPC, or (false) none. If absent, vectors are read and written over
    gRPC where its port answers, and everything else goes over REST."""
    grpc_port: Annotated[int, Field(ge=1, le=65535)] = 6334
    """Where gRPC listens, on the host that `url` names."""
    timeout: Annotated[int, Field(ge=1)] = 60
    """Seconds a request may take."""
    api_key_env: VariableName = "QDRANT_API_KEY"
    """The environment variable that holds the API key or token; none is sent if it is not set."""
    api_key_file: Path | None = None
    """A file that holds it instead, in one line, and that only its owner can read."""
    ca_certificate: Path | None = None
    """PEM file of the authority that signed the server's certificate; the system's if absent."""
    client_certificate: Path | None = None
    """PEM file, where the server asks for one; with `client_key`."""
    client_key: Path | None = None
    """PEM file of the client certificate's key."""
    hnsw_ef: Annotated[int, Field(ge=1)] | None = None
    """How many points a search of the index visits; as many as the index was built with
    (`ef_construct`), or are asked for, if absent. More find more, and take longer."""
    replication_factor: Annotated[int, Field(ge=1)] | None = None
    """Copies of the sidecar's own collections; as many as yours has if absent."""
    write_consistency_factor: Annotated[int, Field(ge=1)] | None = None
    """Copies of them that have to take a write; as many as of yours if absent."""
    shard_number: Annotated[int, Field(ge=1)] | None = None
    """Shards of them, other than the ledger, which has one; as many as yours has if absent."""
    payload_mark: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """A payload key of no other use, such as _nudge_sync. Qdrant 1.16 and later: rows are marked
    while they are written, so that an upsert by the application that lands between compare and
    write wins. Costs three more requests a batch."""

    @model_validator(mode="after")
    def _check_location(self) -> QdrantSettings:
        if sum(value is not None for value in (self.url, self.path, self.location)) != 1:
            raise ValueError("set one of url, path and location")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key go together")
        refuse_secrets_in_address(self.url or "", "database.url", self.api_key_env)
        return self

    @property
    def is_local(self) -> bool:
        """Whether this is qdrant-client's local mode, its own re-implementation of the engine."""
        return self.url is None

    @property
    def names_grpc_port(self) -> bool:
        """Whether gRPC's port is known: set, or the usual one beside REST's usual one.

        Beside another port of REST, the usual one of gRPC may be another server's.
        """
        port = urlsplit(self.url or "").port
        return "grpc_port" in self.model_fields_set or port in {None, _USUAL_REST_PORT}

    def read_api_key(self) -> str | None:
        """Return the key in the environment or in its file, if there is one. Raises ConfigError."""
        return read_secret(self.api_key_env, self.api_key_file, "database.api_key_file") or None
