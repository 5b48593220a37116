"""The connection to a Qdrant server or to a directory in local mode."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from threading import BoundedSemaphore, RLock
from typing import Any

from qdrant_client import QdrantClient, grpc
from qdrant_client.models import UpdateResult, UpdateStatus

from nudge_sync.connector import parse_version
from nudge_sync.errors import ConfigError, DatabaseError, NudgeSyncError, Unreachable
from nudge_sync_qdrant.errors import ReplicaUnavailable, repeats_api_key, translate_error
from nudge_sync_qdrant.peers import Peers, list_versions, parse_peers
from nudge_sync_qdrant.settings import QdrantSettings

OLDEST_RELEASE = (1, 16)
"""The oldest that the connector is made for."""
CONDITIONAL_UPDATE_RELEASE = (1, 16)
"""Since when updates take a filter; older servers ignore it without a word."""
UPDATE_MODE_RELEASE = (1, 17)
"""Since when an upsert can be told to insert only or to update only; older servers ignore it."""

_OPEN_WINDOWS = 2
"""Batches that may be between compare and update at once: more would slow each other down, and a
row is open to being overwritten meanwhile. Other batches are read back at the same time."""
_TELEMETRY_LEVEL = 2
"""Of detail; a server asks the other nodes for no less."""
_GRPC_PROBE_SECONDS = 2.0
"""How long gRPC's port may take to answer before REST is used."""
_GRPC_IDENTITY = 1
"""gRPC's set of compression algorithms with none but identity in it: a bit for each."""
_TELEMETRY_SECONDS = 10
"""How long the other nodes may take to tell."""


class Connection:
    """One client. Local mode is not made for threads, so there each request waits for its turn."""

    def __init__(self, settings: QdrantSettings) -> None:
        self.settings = settings
        self.lock = RLock()
        """Held by each request in local mode, and by what has to be one step in this process."""
        self.windows = BoundedSemaphore(_OPEN_WINDOWS)
        """Held by each batch of rows from its compare to its update."""
        self._api_key = settings.read_api_key()
        with self.translate_errors("the database"):
            self.client: QdrantClient = _create_client(settings, self._api_key)

    @property
    def has_api_key(self) -> bool:
        """Whether requests carry a key or token."""
        return self._api_key is not None

    @property
    def is_local(self) -> bool:
        """Whether this is qdrant-client's local mode."""
        return self.settings.is_local

    @cached_property
    def uses_grpc(self) -> bool:
        """Whether vectors are read and written over gRPC: see `QdrantSettings.prefer_grpc`."""
        if self.is_local or self.settings.prefer_grpc is not None:
            return not self.is_local and bool(self.settings.prefer_grpc)
        return self.settings.names_grpc_port and self._answers_grpc()

    def _answers_grpc(self) -> bool:
        try:
            self.client.grpc_collections.List(
                grpc.ListCollectionsRequest(), timeout=_GRPC_PROBE_SECONDS
            )
        except Exception:  # noqa: BLE001 - whatever it is, REST is there
            return False
        return True

    @cached_property
    def version(self) -> str:
        """What the server (in local mode: the client) calls its version."""
        with self.translate_errors("the version"):
            return str(self.client.info().version)

    @cached_property
    def node_versions(self) -> tuple[str, ...]:
        """The versions of all nodes of the cluster, oldest first.

        A node that is down has none: it takes no part until it is back. Before Qdrant 1.17, and
        with a key that may not ask, only the version of the server that was asked is known.
        """
        peers = self.read_peers() if self.is_cluster else None
        if not peers or not peers.has_neighbours:
            return (self.version,)
        try:
            with self.translate_errors("the cluster"):
                answer = self.client.cluster_telemetry(
                    details_level=_TELEMETRY_LEVEL, timeout=_TELEMETRY_SECONDS
                )
        except DatabaseError as error:
            if error.transient:
                raise
            return (self.version,)
        return list_versions(answer, peers)

    def is_at_least(self, release: tuple[int, int]) -> bool:
        """Return whether all nodes are of this release or a later one; local mode always is."""
        return self.is_local or all(
            parse_version(version) >= release for version in (self.version, *self.node_versions)
        )

    @cached_property
    def is_cluster(self) -> bool:
        """Whether the server is a node of a cluster, or a key that may not ask leaves that open."""
        if self.is_local:
            return False
        peers = self.read_peers()
        return peers is None or bool(peers.addresses)

    def read_peers(self) -> Peers | None:
        """Return the nodes of the cluster as the server sees them just now; none outside one.

        None where the key may not ask, or where the port of REST, which alone knows, is closed.
        """
        try:
            with self.translate_errors("the cluster"):
                return parse_peers(self.client.cluster_status())
        except DatabaseError as error:
            if error.transient and not self.settings.prefer_grpc:
                raise
            return None

    @contextmanager
    def translate_errors(self, subject: str) -> Iterator[None]:
        """Raise the client's exceptions as nudge-sync's own; goes around each request.

        subject: what the request is about, for messages. Where the client's exception repeats the
        API key, it is not kept as `__cause__`.
        """
        with self.lock if self.is_local else nullcontext():
            try:
                yield
            except NudgeSyncError:
                raise
            except Exception as error:
                # Not kept in a variable: that would be a cycle, and keep the client alive.
                if repeats_api_key(error, self._api_key):
                    raise self._translate(error, subject) from None
                raise self._translate(error, subject) from error

    def _translate(self, error: Exception, subject: str) -> DatabaseError:
        translated = translate_error(error, self._name_request(subject), self._api_key)
        return self._name_silent_peers(translated)

    def _name_request(self, subject: str) -> str:
        """Return what a request is about, after the address that it went to."""
        return subject if self.is_local else f"Qdrant at {self.settings.url}, {subject}"

    def _name_silent_peers(self, error: DatabaseError) -> DatabaseError:
        """Return the error, with the nodes that do not answer where that is what it is about."""
        if not isinstance(error, ReplicaUnavailable):
            return error
        try:
            names = parse_peers(self.client.cluster_status()).describe_silent()
        except Exception:  # noqa: BLE001 - the error that brought us here matters more
            return error
        return error.add_detail(names) if names else error

    def require_completed(self, subject: str, result: UpdateResult) -> None:
        """Raise Unreachable unless the update was carried out, and not only acknowledged."""
        if result.status != UpdateStatus.COMPLETED:
            raise Unreachable(
                f"{subject}: the server took an update but says {result.status.value}, not "
                "completed"
            )

    def close(self) -> None:
        """Close the client; may be called twice."""
        with self.translate_errors("the database"):
            self.client.close()


def _create_client(settings: QdrantSettings, api_key: str | None) -> QdrantClient:
    """Return a client; nothing is asked of a server yet. Raises ConfigError."""
    try:
        if settings.path is not None:
            path = str(settings.path.expanduser())
            return QdrantClient(path=path, force_disable_check_same_thread=True)
        if settings.location is not None:
            return QdrantClient(location=settings.location)
        with warnings.catch_warnings():
            # A key over http is what a compose network does; the README says when not to.
            warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
            return QdrantClient(**_build_remote_options(settings, api_key))
    except (OSError, ValueError) as error:
        # Not the error's own text: a URL may hold a password.
        raise ConfigError(f"database: {type(error).__name__} in url or certificates") from error


def _build_remote_options(settings: QdrantSettings, api_key: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "url": settings.url,
        "prefer_grpc": bool(settings.prefer_grpc),
        "grpc_port": settings.grpc_port,
        "timeout": settings.timeout,
        "api_key": api_key,
        "check_compatibility": False,
        # Compressed answers, which both clients ask for unless told otherwise, take longer to make
        # and to read than plain ones take to send: vectors hardly get shorter.
        "metadata": {"Accept-Encoding": "identity"},
        "grpc_options": {"grpc.compression_enabled_algorithms_bitset": _GRPC_IDENTITY},
    }
    if settings.ca_certificate is not None or settings.client_certificate is not None:
        options["verify"] = _create_ssl_context(settings)
        options["grpc_options"] |= _read_credentials(settings)
    return options


def _create_ssl_context(settings: QdrantSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_certificate)
    if settings.client_certificate is not None:
        context.load_cert_chain(settings.client_certificate, settings.client_key)
    return context


def _read_credentials(settings: QdrantSettings) -> dict[str, Any]:
    """Return the same certificates in the form that gRPC takes."""
    files = {
        "root_certificates": settings.ca_certificate,
        "certificate_chain": settings.client_certificate,
        "private_key": settings.client_key,
    }
    return {name: path.read_bytes() for name, path in files.items() if path is not None}
