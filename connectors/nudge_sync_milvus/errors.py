"""What gRPC and Milvus say went wrong, as nudge-sync's own exceptions."""

from __future__ import annotations

import base64
from typing import Any

import grpc
from pymilvus.exceptions import MilvusException
from pymilvus.grpc_gen import common_pb2

from nudge_sync.errors import (
    CollectionNotFound,
    DatabaseError,
    DiskFull,
    Unauthorised,
    Unreachable,
)

_MAX_REASON_LENGTH = 400
"""Characters of a server's reason that are repeated in a message."""
_TRANSIENT_CODES = frozenset(
    {2, 4, 8, 9, 101, 103, 201, 202, 400, 401, 500, 501, 503, 901, 902, 903, 905}
)
"""Service not ready or unavailable, too many requests, rate limit, quota; a collection or a
partition not or not fully loaded; replica, channel or node not there yet.
"""
_TRANSIENT_GRPC_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    }
)
"""Errors after which the call may succeed later."""
_TRANSIENT_REASONS = ("context Done", "context canceled", "context deadline exceeded")
"""What a server that ran out of time says, under the code of any unexpected error."""
_DISK_REASONS = ("disk quota exceeded", "no space left on device")
"""What a server says that refuses writes for want of room, in lower case."""
_UNAUTHORISED_GRPC_CODES = frozenset(
    {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
)
"""The token is wrong, or may not do this."""


class MessageTooLarge(DatabaseError):
    """A request or an answer is larger than one message may be."""


class CollectionNotLoaded(Unreachable):
    """The collection is not loaded, or not yet."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message}; load the collection, or wait until it is")


class IndexNotFound(DatabaseError):
    """The vector field has no index."""


_ERRORS_BY_CODE: dict[int, type[DatabaseError]] = {
    100: CollectionNotFound,
    101: CollectionNotLoaded,
    700: IndexNotFound,
    1400: Unauthorised,
    1401: Unauthorised,
}
"""By Milvus's codes, called merr in its source."""
_ERRORS_BY_LEGACY_CODE: dict[int, type[DatabaseError]] = {
    common_pb2.ErrorCode.CollectionNotExists: CollectionNotFound,
    common_pb2.ErrorCode.IndexNotExist: IndexNotFound,
    common_pb2.ErrorCode.SchemaMismatch: Unreachable,
    101: CollectionNotLoaded,
}
"""By the older enum of codes, which Milvus still sends beside the others."""


class SecretRedactor:
    """Removes the token, in each of its forms, from what a server says back."""

    def __init__(self, token: str) -> None:
        _, _, password = token.partition(":")
        forms = (token, encode_token(token), password)
        self._forms = sorted({form for form in forms if form}, key=len, reverse=True)

    def redact(self, text: str) -> str:
        """Return the text with three stars in place of each form of the token."""
        for form in self._forms:
            text = text.replace(form, "***")
        return text


def encode_token(token: str) -> str:
    """Return the token as it goes over the wire."""
    return base64.b64encode(token.encode()).decode()


def translate_grpc_error(
    error: grpc.RpcError, subject: str, redactor: SecretRedactor
) -> DatabaseError:
    """Return the nudge-sync exception for a call that failed.

    subject: which request to which server, for the message.
    """
    code, details = error.code(), redactor.redact(error.details() or "")
    message = f"{subject}: {code.name.lower().replace('_', ' ')}: {_shorten_reason(details)}"
    if code in _UNAUTHORISED_GRPC_CODES:
        return Unauthorised(message)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        larger = "larger than max" in details or "exceeds" in details
        return MessageTooLarge(message) if larger else Unreachable(message)
    return Unreachable(message) if code in _TRANSIENT_GRPC_CODES else DatabaseError(message)


def raise_for_status(status: Any, subject: str, redactor: SecretRedactor) -> None:
    """Raise the nudge-sync exception for a Milvus status, unless it says success.

    subject: which request to which server, for the message.
    """
    if status.code == 0 and status.error_code == 0:
        return
    reason = _shorten_reason(redactor.redact(status.reason))
    cause = MilvusException(status.code or status.error_code, reason)
    raise _translate_status(status, f"{subject}: {reason}") from cause


def _shorten_reason(reason: str) -> str:
    """Return a reason without the middle of the long filter that it may repeat."""
    if len(reason) <= _MAX_REASON_LENGTH:
        return reason
    return f"{reason[: _MAX_REASON_LENGTH // 2]} ... {reason[-_MAX_REASON_LENGTH // 2 :]}"


def _translate_status(status: Any, message: str) -> DatabaseError:
    if any(words in status.reason.lower() for words in _DISK_REASONS):
        return DiskFull(f"{message}; make room on the server's disk, then run it again")
    error_class = _ERRORS_BY_CODE.get(status.code) or _ERRORS_BY_LEGACY_CODE.get(status.error_code)
    if error_class is not None:
        return error_class(message)
    if "exceeds" in status.reason and "size" in status.reason:
        return MessageTooLarge(message)
    is_transient = status.code in _TRANSIENT_CODES or status.retriable
    is_transient = is_transient or any(words in status.reason for words in _TRANSIENT_REASONS)
    return Unreachable(message) if is_transient else DatabaseError(message)
