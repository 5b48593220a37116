from __future__ import annotations

import base64
from typing import Any

import grpc
from pymilvus.exceptions import MilvusException
from pymilvus.grpc_gen import common_pb2

from nudge_sync.errors import CollectionNotFound, DatabaseError, Unauthorised, Unreachable

REASON_LENGTH = 400
# Service not ready or unavailable, too many requests, rate limit, quota; a collection or a
# partition not or not fully loaded; replica, channel or node not there yet.
PASSING = frozenset({2, 4, 8, 9, 101, 103, 201, 202, 400, 401, 500, 501, 503, 901, 902, 903, 905})
PASSING_CODES = frozenset(
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
PASSING_WORDS = ("context Done", "context canceled", "context deadline exceeded")
REFUSED_CODES = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


class MessageTooLarge(DatabaseError):
    """A request or an answer is larger than one message may be."""


class NotLoaded(Unreachable):
    """The collection is not loaded, or not yet."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message}; load the collection, or wait until it is")


class IndexMissing(DatabaseError):
    """The vector field has no index."""


# Milvus's merr codes, and the enum before them, which Milvus still sends beside them.
MEANINGS: dict[int, type[DatabaseError]] = {
    100: CollectionNotFound,
    101: NotLoaded,
    700: IndexMissing,
    1400: Unauthorised,
    1401: Unauthorised,
}
LEGACY_MEANINGS: dict[int, type[DatabaseError]] = {
    common_pb2.ErrorCode.CollectionNotExists: CollectionNotFound,
    common_pb2.ErrorCode.IndexNotExist: IndexMissing,
    common_pb2.ErrorCode.SchemaMismatch: Unreachable,
    101: NotLoaded,
}


class Secrets:
    """What no message may repeat, whatever a server says back."""

    def __init__(self, token: str) -> None:
        _, _, password = token.partition(":")
        forms = (token, encoded(token), password)
        self._forms = sorted({form for form in forms if form}, key=len, reverse=True)

    def hidden(self, text: str) -> str:
        """The text with each secret as three stars."""
        for form in self._forms:
            text = text.replace(form, "***")
        return text


def encoded(token: str) -> str:
    """The token as it goes over the wire."""
    return base64.b64encode(token.encode()).decode()


def from_rpc(error: grpc.RpcError, where: str, secrets: Secrets) -> DatabaseError:
    """What a failed call means. `where` says which request to which server."""
    code, details = error.code(), secrets.hidden(error.details() or "")
    message = f"{where}: {code.name.lower().replace('_', ' ')}: {shortened(details)}"
    if code in REFUSED_CODES:
        return Unauthorised(message)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        larger = "larger than max" in details or "exceeds" in details
        return MessageTooLarge(message) if larger else Unreachable(message)
    return Unreachable(message) if code in PASSING_CODES else DatabaseError(message)


def raise_for_status(status: Any, where: str, secrets: Secrets) -> None:
    """Raise what a Milvus status says went wrong, if anything did."""
    if status.code == 0 and status.error_code == 0:
        return
    reason = shortened(secrets.hidden(status.reason))
    cause = MilvusException(status.code or status.error_code, reason)
    raise _meaning(status, f"{where}: {reason}") from cause


def shortened(reason: str) -> str:
    """A reason without the middle of the long filter that it may repeat."""
    if len(reason) <= REASON_LENGTH:
        return reason
    return f"{reason[: REASON_LENGTH // 2]} ... {reason[-REASON_LENGTH // 2 :]}"


def _meaning(status: Any, message: str) -> DatabaseError:
    kind = MEANINGS.get(status.code) or LEGACY_MEANINGS.get(status.error_code)
    if kind is not None:
        return kind(message)
    if "exceeds" in status.reason and "size" in status.reason:
        return MessageTooLarge(message)
    passing = status.code in PASSING or status.retriable
    passing = passing or any(words in status.reason for words in PASSING_WORDS)
    return Unreachable(message) if passing else DatabaseError(message)
