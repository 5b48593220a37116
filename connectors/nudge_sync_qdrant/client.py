"""The client, what it talks to, and its exceptions as nudge-sync's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from threading import RLock
from typing import Any

import grpc
from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from qdrant_client.models import UpdateResult, UpdateStatus

from nudge_sync.errors import (
    CollectionNotFound,
    DatabaseError,
    NudgeSyncError,
    Unauthorised,
    Unreachable,
)
from nudge_sync_qdrant.settings import QdrantSettings, create_client

CONDITIONAL_UPDATE_RELEASE = (1, 16)
"""Since when updates take a filter; older servers ignore it without a word."""
UPDATE_MODE_RELEASE = (1, 17)
"""Since when an upsert can be told to insert only or to update only; likewise ignored before."""
_TRANSIENT_HTTP_STATUSES = frozenset({408, 425, 429, 502, 503, 504})
_TRANSIENT_GRPC_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    }
)
_NO_COLLECTION_PATTERN = re.compile(r"Collection .*(doesn't exist|not found)", re.DOTALL)
_MAX_REASON_LENGTH = 500


class PointNotFound(DatabaseError):
    """A point of the request is gone; others of the request may have been updated."""


class Connection:
    """One client. Local mode is not made for threads, so there each request waits for its turn."""

    def __init__(self, settings: QdrantSettings) -> None:
        self.settings = settings
        self.lock = RLock()
        self._api_key = settings.read_api_key()
        with self.translate_errors("the database"):
            self.client: QdrantClient = create_client(settings)

    @property
    def is_local(self) -> bool:
        """Whether this is qdrant-client's local mode."""
        return self.settings.is_local

    @cached_property
    def version(self) -> str:
        """What the server (in local mode: the client) calls its version."""
        with self.translate_errors("the server"):
            return str(self.client.info().version)

    def is_at_least(self, release: tuple[int, int]) -> bool:
        """Whether the server is of this release or a later one."""
        numbers = re.match(r"v?(\d+)\.(\d+)", self.version)
        server_release = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
        return self.is_local or server_release >= release

    @contextmanager
    def translate_errors(self, subject: str) -> Iterator[None]:
        """Around a request: `place` is what it is about, for messages."""
        with self.lock if self.is_local else nullcontext():
            try:
                yield
            except NudgeSyncError:
                raise
            except Exception as error:
                if self._contains_api_key(error):
                    raise self._translate_error(subject, error) from None
                raise self._translate_error(subject, error) from error

    def require_completed(self, subject: str, result: UpdateResult) -> None:
        """Raise Unreachable unless the update was carried out, and not only taken in."""
        if result.status != UpdateStatus.COMPLETED:
            raise Unreachable(
                f"{subject}: the server took an update but says {result.status.value}, not "
                "completed"
            )

    def close(self) -> None:
        """Close the client; may be called twice."""
        with self.translate_errors("the database"):
            self.client.close()

    def _contains_api_key(self, error: Exception) -> bool:
        """Whether the client's own exception repeats the key: then nobody gets to see it."""
        return bool(self._api_key) and str(self._api_key) in f"{error} {_classify_error(error)[1]}"

    def _translate_error(self, subject: str, error: Exception) -> NudgeSyncError:
        error_class, text = _classify_error(error)
        if self._api_key:
            text = text.replace(self._api_key, "***")
        return error_class(f"{subject}: {text[:_MAX_REASON_LENGTH]}")


def _classify_error(error: Exception) -> tuple[type[DatabaseError], str]:
    if isinstance(error, UnexpectedResponse):
        return _classify_http_status(error.status_code or 0, _extract_message(error))
    if isinstance(error, ResponseHandlingException):
        source = error.source
        if isinstance(source, ValidationError):
            return DatabaseError, "the answer is not one that this qdrant-client understands"
        return Unreachable, f"no answer ({type(source).__name__}: {source})"
    if isinstance(error, ResourceExhaustedResponse):
        return Unreachable, f"{error} (try again after {error.retry_after_s} s)"
    if isinstance(error, grpc.RpcError):
        return _classify_grpc_error(error)
    return _classify_local_error(error)


def _classify_local_error(error: Exception) -> tuple[type[DatabaseError], str]:
    if isinstance(error, KeyError):
        return PointNotFound, f"No point with id {error}"
    if isinstance(error, RuntimeError) and "already accessed" in str(error):
        return Unreachable, "the directory is open in another process"
    return _classify_message(str(error))


def _classify_http_status(status: int, text: str) -> tuple[type[DatabaseError], str]:
    if status in {401, 403}:
        return Unauthorised, f"{status} {text}"
    if status in _TRANSIENT_HTTP_STATUSES:
        return Unreachable, f"{status} {text}"
    return _classify_message(text)


def _classify_grpc_error(error: Any) -> tuple[type[DatabaseError], str]:
    code, text = error.code(), str(error.details())
    if code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
        return Unauthorised, text
    if code in _TRANSIENT_GRPC_CODES:
        return Unreachable, f"{code.name} {text}"
    return _classify_message(text)


def _classify_message(text: str) -> tuple[type[DatabaseError], str]:
    if "No point with id" in text:
        return PointNotFound, text
    if _NO_COLLECTION_PATTERN.search(text):
        return CollectionNotFound, text
    return DatabaseError, text


def _extract_message(error: UnexpectedResponse) -> str:
    try:
        return str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return f"{error.reason_phrase}: {error.content.decode(errors='replace')}"
