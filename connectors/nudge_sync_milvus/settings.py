"""The `[database]` table for the connector "milvus"."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from nudge_sync.connector import (
    Section,
    VariableName,
    read_secret,
    refuse_secrets_in_address,
    resolve_path,
)
from nudge_sync.errors import ConfigError

MAX_REQUEST_BYTES = 48 * 1024 * 1024
"""Milvus takes and gives 64 MiB a message; the rest is room for what a row's estimate misses."""
_DEFAULT_PORT = 19530
"""Where Milvus listens, if the address names no port."""
_HTTPS_PORT = 443
"""Where Milvus listens behind TLS, if the address names no port: a hosted service."""
_SCHEMES = ("http", "https", "tcp", "grpc")
"""What an address may start with; pymilvus takes the same."""


class MilvusSettings(Section):
    """Where Milvus is, and how to talk to it. Secrets come from the environment."""

    uri: str = "http://127.0.0.1:19530"
    """http(s)://host:port of a server, or the path of a Milvus Lite file ending in .db."""
    token_env: VariableName = "MILVUS_TOKEN"  # noqa: S105 - a variable's name, not a secret
    """The environment variable that holds the API key or "user:password"."""
    token_file: Path | None = None
    """A file that holds it instead, in one line, and that only its owner can read."""
    db_name: str = ""
    """Milvus's own database; its default one if empty."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds a single request may take."""
    server_pem_path: str = ""
    """One-way TLS: the server's certificate. Without it https trusts the usual authorities."""
    ca_pem_path: str = ""
    """The authority that signed the server's certificate."""
    client_pem_path: str = ""
    """The client's certificate, where the server asks for one; with `client_key_path`."""
    client_key_path: str = ""
    """The client certificate's key."""
    server_name: str = ""
    """The name in the server's certificate, where it is not the host's."""
    replica_number: Annotated[int, Field(ge=1)] | None = None
    """Copies in memory that the sidecar's own collections are loaded in; as many as yours if
    absent."""
    resource_groups: list[str] = Field(default_factory=list)
    """Where those are loaded: one group for all copies, or one for each; yours if absent."""
    search_params: dict[str, Any] = Field(default_factory=dict)
    """Index search parameters such as nprobe, over the connector's own choice."""
    ef: Annotated[int, Field(ge=1, le=32768)] | None = None
    """HNSW's ef; at least k is used whatever is set."""

    @field_validator("uri", "server_pem_path", "ca_pem_path", "client_pem_path", "client_key_path")
    @classmethod
    def _resolve_files(cls, text: str, info: ValidationInfo) -> str:
        is_file = text and "://" not in text and (info.field_name != "uri" or text.endswith(".db"))
        return str(resolve_path(Path(text), info)) if is_file else text

    @property
    def is_lite(self) -> bool:
        """Whether this is a Milvus Lite file."""
        return self.uri.endswith(".db") and "://" not in self.uri

    @property
    def is_secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.uri.lower().startswith("https://")

    @property
    def address(self) -> str:
        """host:port of the server.

        Raises ConfigError for an address of another form, and for one that holds credentials.
        """
        refuse_secrets_in_address(self.uri, "database.uri", self.token_env)
        parts = urlsplit(self.uri)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if parts.scheme.lower() not in _SCHEMES or not host:
            raise ConfigError(
                "database.uri: expected http://host:port, https://host:port or a path to a .db file"
            )
        host = f"[{host}]" if ":" in host else host
        return f"{host}:{port or (_HTTPS_PORT if self.is_secure else _DEFAULT_PORT)}"

    def read_token(self) -> str:
        """Return the secret in the environment or in its file, or "". Raises ConfigError."""
        return read_secret(self.token_env, self.token_file, "database.token_file")
