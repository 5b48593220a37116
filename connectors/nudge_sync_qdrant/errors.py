"""The exceptions of qdrant-client and of its local mode, as nudge-sync's own."""

from __future__ import annotations

import re
from typing import Any

import grpc
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from nudge_sync.errors import (
    CollectionNotFound,
    DatabaseError,
    DiskFull,
    Unauthorised,
    Unreachable,
)

_UNAUTHORISED_HTTP_STATUSES = frozenset({401, 403})
"""The key is wrong, or may not do this."""
_TRANSIENT_HTTP_STATUSES = frozenset({408, 425, 429, 502, 503, 504})
"""Statuses after which the request may succeed later."""
_UNAUTHORISED_GRPC_CODES = frozenset(
    {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
)
"""The key is wrong, or may not do this."""
_TRANSIENT_GRPC_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    }
)
"""Errors after which the call may succeed later."""
_NO_COLLECTION_PATTERN = re.compile(r"Collection .*(doesn't exist|not found)", re.DOTALL)
"""How a server, or local mode, says that there is no such collection."""
_LEADER_PATTERN = re.compile(r"ordering via leader peer (\d+)")
"""How a server says that the node which orders the updates of a shard did not answer it."""
_REPLICA_PATTERN = re.compile(
    r"enough active replicas|\d+ of \d+ read operations failed|no active replica"
    r"|no leader could be selected|deactivation timed out|to at least one `Active` replica"
    r"|all attempts were rejected|Tonic status error|[Tt]ransport error|Local shard \d+ not found"
    r"|consensus operation|[Tt]imeout error|Operation Cancelled"
)
"""How a server says, as an internal error, that other nodes did not do their part."""
_DISK_PATTERN = re.compile(r"No space left on device|Disk usage is at \d+%")
"""How a server refuses an update for want of room: its disk, or its strict mode's limit."""
_DISK_ADVICE = "; make room on the server's disk, then run it again"
_MAX_REASON_LENGTH = 500
"""Characters of an answer that are repeated in a message."""


class ReplicaUnavailable(Unreachable):
    """A node that holds a copy of a shard does not answer, or has not all of the copy."""

    def add_detail(self, detail: str) -> ReplicaUnavailable:
        """Return the error with a detail in front of what the server said."""
        return type(self)(f"{detail}; {self}")


class LeaderUnavailable(ReplicaUnavailable):
    """The node that orders the updates of a shard does not answer."""

    @property
    def peer(self) -> int:
        """The id of that node."""
        match = _LEADER_PATTERN.search(str(self))
        return int(match[1]) if match else 0


class PointNotFound(DatabaseError):
    """A point of the request is gone; others of the request may have been updated."""


def translate_error(error: Exception, subject: str, api_key: str | None) -> DatabaseError:
    """Return the nudge-sync exception for one of the client's.

    subject: what the request is about, for the message. api_key: never repeated in it.
    """
    error_class, text = _classify_error(error)
    if api_key:
        text = text.replace(api_key, "***")
    if _DISK_PATTERN.search(text):
        return DiskFull(f"{subject}: {text[:_MAX_REASON_LENGTH]}{_DISK_ADVICE}")
    return error_class(f"{subject}: {text[:_MAX_REASON_LENGTH]}")


def repeats_api_key(error: Exception, api_key: str | None) -> bool:
    """Return whether the client's own exception holds the key, and so must not be shown."""
    return bool(api_key) and str(api_key) in f"{error} {_classify_error(error)[1]}"


def _classify_error(error: Exception) -> tuple[type[DatabaseError], str]:
    """Return the class of an exception, and the text that says what happened."""
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


def _classify_http_status(status: int, text: str) -> tuple[type[DatabaseError], str]:
    if status in _UNAUTHORISED_HTTP_STATUSES:
        return Unauthorised, f"{status} {text}"
    if status in _TRANSIENT_HTTP_STATUSES:
        return Unreachable, f"{status} {text}"
    return _classify_message(text)


def _classify_grpc_error(error: Any) -> tuple[type[DatabaseError], str]:
    code, text = error.code(), str(error.details())
    if code in _UNAUTHORISED_GRPC_CODES:
        return Unauthorised, text
    if code in _TRANSIENT_GRPC_CODES:
        return Unreachable, f"{code.name} {text}"
    return _classify_message(text)


def _classify_local_error(error: Exception) -> tuple[type[DatabaseError], str]:
    if isinstance(error, KeyError):
        return PointNotFound, f"No point with id {error}"
    if isinstance(error, RuntimeError) and "already accessed" in str(error):
        return Unreachable, "the directory is open in another process"
    return _classify_message(str(error))


def _classify_message(text: str) -> tuple[type[DatabaseError], str]:
    if "No point with id" in text:
        return PointNotFound, text
    if _LEADER_PATTERN.search(text):
        return LeaderUnavailable, text
    if _REPLICA_PATTERN.search(text):
        return ReplicaUnavailable, text
    if _NO_COLLECTION_PATTERN.search(text):
        return CollectionNotFound, text
    return DatabaseError, text


def _extract_message(error: UnexpectedResponse) -> str:
    try:
        return str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return f"{error.reason_phrase}: {error.content.decode(errors='replace')}"
