from __future__ import annotations

import base64
from typing import Any

import grpc
from pymilvus.exceptions import MilvusException
from pymilvus.grpc_gen import common_pb2

from nudge_sync.errors import CollectionNotFound, DatabaseError, Unauthorised, Unreachable

_MAX_REASON_LENGTH = 400
# Service not ready or unavailable, too many requests, rate limit, quota; a collection or a
# partition not or not fully loaded; replica, channel or node not there yet.
_TRANSIENT_CODES = frozenset(
    {2, 4, 8, 9, 101, 103, 201, 202, 400, 401, 500, 501, 503, 901, 902, 903, 905}
)
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
# What a server that ran out of time says, under the code of any unexpected error.
_TRANSIENT_REASONS = ("context Done", "context canceled", "context deadline exceeded")
_UNAUTHORISED_GRPC_CODES = frozenset(
    {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
)


class MessageTooLarge(DatabaseError):
    """A request or an answer is larger than one message may be."""


class CollectionNotLoaded(Unreachable):
    """The collection is not loaded, or not yet."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message}; load the collection, or wait until it is")


class IndexNotFound(DatabaseError):
    """The vector field has no index."""


# Milvus's merr codes, and the enum before them, which Milvus still sends beside them.
_ERRORS_BY_CODE: dict[int, type[DatabaseError]] = {
    100: CollectionNotFound,
    101: CollectionNotLoaded,
    700: IndexNotFound,
    1400: Unauthorised,
    1401: Unauthorised,
}
_ERRORS_BY_LEGACY_CODE: dict[int, type[DatabaseError]] = {
    common_pb2.ErrorCode.CollectionNotExists: CollectionNotFound,
    common_pb2.ErrorCode.IndexNotExist: IndexNotFound,
    common_pb2.ErrorCode.SchemaMismatch: Unreachable,
    101: CollectionNotLoaded,
}


class SecretRedactor:
    """What no message may repeat, whatever a server says back."""

    def __init__(self, token: str) -> None:
        _, _, password = token.partition(":")
        forms = (token, encode_token(token), password)
        self._forms = sorted({form for form in forms if form}, key=len, reverse=True)

    def redact(self, text: str) -> str:
        """The text with each secret as three stars."""
        for form in self._forms:
            text = text.replace(form, "***")
        return text


def encode_token(token: str) -> str:
    """The token as it goes over the wire."""
    return base64.b64encode(token.encode()).decode()


def translate_grpc_error(
    error: grpc.RpcError, where: str, secrets: SecretRedactor
) -> DatabaseError:
    """What a failed call means. `where` says which request to which server."""
    code, details = error.code(), secrets.redact(error.details() or "")
    message = f"{where}: {code.name.lower().replace('_', ' ')}: {shorten_reason(details)}"
    if code in _UNAUTHORISED_GRPC_CODES:
        return Unauthorised(message)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        larger = "larger than max" in details or "exceeds" in details
        return MessageTooLarge(message) if larger else Unreachable(message)
    return Unreachable(message) if code in _TRANSIENT_GRPC_CODES else DatabaseError(message)


def raise_for_status(status: Any, where: str, secrets: SecretRedactor) -> None:
    """Raise what a Milvus status says went wrong, if anything did."""
    if status.code == 0 and status.error_code == 0:
        return
    reason = shorten_reason(secrets.redact(status.reason))
    cause = MilvusException(status.code or status.error_code, reason)
    raise _translate_status(status, f"{where}: {reason}") from cause


def shorten_reason(reason: str) -> str:
    """A reason without the middle of the long filter that it may repeat."""
    if len(reason) <= _MAX_REASON_LENGTH:
        return reason
    return f"{reason[: _MAX_REASON_LENGTH // 2]} ... {reason[-_MAX_REASON_LENGTH // 2 :]}"


def _translate_status(status: Any, message: str) -> DatabaseError:
    error_class = _ERRORS_BY_CODE.get(status.code) or _ERRORS_BY_LEGACY_CODE.get(status.error_code)
    if error_class is not None:
        return error_class(message)
    if "exceeds" in status.reason and "size" in status.reason:
        return MessageTooLarge(message)
    is_transient = status.code in _TRANSIENT_CODES or status.retriable
    is_transient = is_transient or any(words in status.reason for words in _TRANSIENT_REASONS)
    return Unreachable(message) if is_transient else DatabaseError(message)
