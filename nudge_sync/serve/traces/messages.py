"""Bodies of OTLP over HTTP, in its two encodings.

The protocol: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from nudge_sync.errors import InputError
from nudge_sync.source.openinference.otlp import read_json_message, read_protobuf_message
from nudge_sync.source.openinference.spans import Span

PROTOBUF, JSON = "application/x-protobuf", "application/json"
MEDIA_TYPES = (PROTOBUF, JSON)
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_STATUS_MESSAGE_TAG = b"\x12"
"""Field 2 of google.rpc.Status, a text."""
_SEVEN_BITS = 0x7F


@dataclass(frozen=True, slots=True)
class PartialSuccess:
    """How many spans of a request were rejected, and why some of them; 0: none."""

    rejected: int = 0
    reason: str = ""


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Return the body of a request as it was before its `Content-Encoding`.

    Raises InputError for an encoding that is not known, for what is none, and for more than
    `max_bytes`, before there is more of it in memory.
    """
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise InputError("gzip is the only encoding that is taken")
    decoder = zlib.decompressobj(_GZIP_WINDOW)
    try:
        content = decoder.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InputError(f"not gzip: {error}") from None
    if len(content) > max_bytes:
        raise InputError(f"at most {max_bytes} bytes a request, once they are decompressed")
    if not decoder.eof:
        raise InputError("not gzip: it ends early")
    return content


def read_spans(body: bytes, media_type: str) -> list[Span]:
    """Return the spans of an export request. Raises InputError for what is none."""
    if media_type == PROTOBUF:
        return list(read_protobuf_message(body))
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise InputError("not an OTLP message: an object is expected")
    return list(read_json_message(message))


def encode_response(outcome: PartialSuccess, media_type: str) -> bytes:
    """Return the body that answers a request whose spans were taken, or some of them."""
    if media_type == PROTOBUF:
        response = ExportTraceServiceResponse()
        if outcome.rejected:
            response.partial_success.rejected_spans = outcome.rejected
            response.partial_success.error_message = outcome.reason
        content: bytes = response.SerializeToString()
        return content
    partial: dict[str, Any] = {
        "rejectedSpans": str(outcome.rejected),
        "errorMessage": outcome.reason,
    }
    return json.dumps({"partialSuccess": partial} if outcome.rejected else {}).encode()


def encode_status(message: str, media_type: str) -> bytes:
    """Return a google.rpc.Status with a message, as the body of a request that failed."""
    if media_type != PROTOBUF:
        return json.dumps({"message": message}).encode()
    text = message.encode()
    return _STATUS_MESSAGE_TAG + _encode_varint(len(text)) + text


def _encode_varint(number: int) -> bytes:
    encoded = bytearray()
    while number > _SEVEN_BITS:
        encoded.append(number & _SEVEN_BITS | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
