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
from nudge_sync_qdrant.settings import Settings, client

CONDITIONAL = (1, 16)
"""Since when updates take a filter; older servers ignore it without a word."""
MODES = (1, 17)
"""Since when an upsert can be told to insert only or to update only; likewise ignored before."""
_TRANSIENT_STATUS = frozenset({408, 425, 429, 502, 503, 504})
_TRANSIENT_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    }
)
_NO_COLLECTION = re.compile(r"Collection .*(doesn't exist|not found)", re.DOTALL)
_LONGEST = 500


class NoSuchPoint(DatabaseError):
    """A point of the request is gone; others of the request may have been updated."""


class Session:
    """One client. Local mode is not made for threads, so there each request waits for its turn."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lock = RLock()
        self._key = settings.api_key()
        with self.asking("the database"):
            self.client: QdrantClient = client(settings)

    @property
    def local(self) -> bool:
        """Whether this is qdrant-client's local mode."""
        return self.settings.local

    @cached_property
    def version(self) -> str:
        """What the server (in local mode: the client) calls its version."""
        with self.asking("the server"):
            return str(self.client.info().version)

    def at_least(self, release: tuple[int, int]) -> bool:
        """Whether the server is of this release or a later one."""
        numbers = re.match(r"v?(\d+)\.(\d+)", self.version)
        found = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
        return self.local or found >= release

    @contextmanager
    def asking(self, place: str) -> Iterator[None]:
        """Around a request: `place` is what it is about, for messages."""
        with self.lock if self.local else nullcontext():
            try:
                yield
            except NudgeSyncError:
                raise
            except Exception as error:
                if self._tells(error):
                    raise self._translated(place, error) from None
                raise self._translated(place, error) from error

    def done(self, place: str, result: UpdateResult) -> None:
        """Raise Unreachable unless the update was carried out, and not only taken in."""
        if result.status != UpdateStatus.COMPLETED:
            raise Unreachable(
                f"{place}: the server took an update but says {result.status.value}, not completed"
            )

    def close(self) -> None:
        """Close the client; may be called twice."""
        with self.asking("the database"):
            self.client.close()

    def _tells(self, error: Exception) -> bool:
        """Whether the client's own exception repeats the key: then nobody gets to see it."""
        return bool(self._key) and str(self._key) in f"{error} {_kind(error)[1]}"

    def _translated(self, place: str, error: Exception) -> NudgeSyncError:
        kind, text = _kind(error)
        if self._key:
            text = text.replace(self._key, "***")
        return kind(f"{place}: {text[:_LONGEST]}")


def _kind(error: Exception) -> tuple[type[DatabaseError], str]:
    if isinstance(error, UnexpectedResponse):
        return _of_status(error.status_code or 0, _message(error))
    if isinstance(error, ResponseHandlingException):
        source = error.source
        if isinstance(source, ValidationError):
            return DatabaseError, "the answer is not one that this qdrant-client understands"
        return Unreachable, f"no answer ({type(source).__name__}: {source})"
    if isinstance(error, ResourceExhaustedResponse):
        return Unreachable, f"{error} (try again after {error.retry_after_s} s)"
    if isinstance(error, grpc.RpcError):
        return _of_code(error)
    return _of_local(error)


def _of_local(error: Exception) -> tuple[type[DatabaseError], str]:
    if isinstance(error, KeyError):
        return NoSuchPoint, f"No point with id {error}"
    if isinstance(error, RuntimeError) and "already accessed" in str(error):
        return Unreachable, "the directory is open in another process"
    return _of_text(str(error))


def _of_status(status: int, text: str) -> tuple[type[DatabaseError], str]:
    if status in {401, 403}:
        return Unauthorised, f"{status} {text}"
    if status in _TRANSIENT_STATUS:
        return Unreachable, f"{status} {text}"
    return _of_text(text)


def _of_code(error: Any) -> tuple[type[DatabaseError], str]:
    code, text = error.code(), str(error.details())
    if code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
        return Unauthorised, text
    if code in _TRANSIENT_CODES:
        return Unreachable, f"{code.name} {text}"
    return _of_text(text)


def _of_text(text: str) -> tuple[type[DatabaseError], str]:
    if "No point with id" in text:
        return NoSuchPoint, text
    if _NO_COLLECTION.search(text):
        return CollectionNotFound, text
    return DatabaseError, text


def _message(error: UnexpectedResponse) -> str:
    try:
        return str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return f"{error.reason_phrase}: {error.content.decode(errors='replace')}"
