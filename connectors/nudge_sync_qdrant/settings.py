"""The `[database]` table for qdrant, and the client it asks for."""

from __future__ import annotations

import ssl
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from qdrant_client import QdrantClient

from nudge_sync.config import Section
from nudge_sync.connector.secrets import VariableName, read_secret, refuse_secrets_in_address
from nudge_sync.errors import ConfigError


class QdrantSettings(Section):
    """One of `url`, `path` and `location`, and how to get there."""

    url: str | None = None
    """Such as http://localhost:6333; 6333 if it names no port."""
    path: Path | None = None
    """qdrant-client's local mode on disk: a re-implementation, for small collections only."""
    location: Literal[":memory:"] | None = None
    """qdrant-client's local mode in memory."""
    prefer_grpc: bool = False
    grpc_port: Annotated[int, Field(ge=1, le=65535)] = 6334
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
    replication_factor: Annotated[int, Field(ge=1)] | None = None
    """Of the sidecar's own collections; the cluster's default if absent."""
    payload_mark: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """A payload key of no other use, such as _nudge_sync. Qdrant 1.16 and later: rows are marked
    while they are written, so that an upsert by the application that lands between compare and
    write wins. Costs three more requests a batch."""

    @model_validator(mode="after")
    def _check_location(self) -> QdrantSettings:
        if sum(place is not None for place in (self.url, self.path, self.location)) != 1:
            raise ValueError("set one of url, path and location")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key go together")
        refuse_secrets_in_address(self.url or "", "database.url", self.api_key_env)
        return self

    @property
    def is_local(self) -> bool:
        """Whether this is qdrant-client's own re-implementation."""
        return self.url is None

    def read_api_key(self) -> str | None:
        """The key in the environment or in its file, if there is one. Raises ConfigError."""
        return read_secret(self.api_key_env, self.api_key_file, "database.api_key_file") or None


def create_client(settings: QdrantSettings) -> QdrantClient:
    """A client; nothing is asked of a server yet. Raises ConfigError."""
    try:
        if settings.path is not None:
            path = str(settings.path.expanduser())
            return QdrantClient(path=path, force_disable_check_same_thread=True)
        if settings.location is not None:
            return QdrantClient(location=settings.location)
        with warnings.catch_warnings():
            # A key over http is what a compose network does; the README says when not to.
            warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
            return QdrantClient(**_build_remote_options(settings))
    except (OSError, ValueError) as error:
        # Not the error's own text: a URL may hold a password.
        raise ConfigError(f"database: {type(error).__name__} in url or certificates") from error


def _build_remote_options(settings: QdrantSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "url": settings.url,
        "prefer_grpc": settings.prefer_grpc,
        "grpc_port": settings.grpc_port,
        "timeout": settings.timeout,
        "api_key": settings.read_api_key(),
        "check_compatibility": False,
    }
    if settings.ca_certificate is not None or settings.client_certificate is not None:
        options["verify"] = _create_ssl_context(settings)
        options["grpc_options"] = _read_credentials(settings)
    return options


def _create_ssl_context(settings: QdrantSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_certificate)
    if settings.client_certificate is not None:
        context.load_cert_chain(settings.client_certificate, settings.client_key)
    return context


def _read_credentials(settings: QdrantSettings) -> dict[str, Any]:
    files = {
        "root_certificates": settings.ca_certificate,
        "certificate_chain": settings.client_certificate,
        "private_key": settings.client_key,
    }
    return {name: path.read_bytes() for name, path in files.items() if path is not None}
