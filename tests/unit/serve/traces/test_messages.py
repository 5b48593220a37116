"""Bodies of OTLP over HTTP, read back with the messages' own classes."""

from __future__ import annotations

import gzip
import json

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from nudge_sync.errors import InputError
from nudge_sync.serve.traces.messages import (
    JSON,
    PROTOBUF,
    PartialSuccess,
    decompress,
    encode_response,
    encode_status,
)

BODY = b"spans " * 100


@pytest.mark.parametrize("message", ["", "x", "ä" * 70, "x" * 20_000])
def test_a_status_is_one_of_googles(message):
    assert Status.FromString(encode_status(message, PROTOBUF)).message == message
    assert json.loads(encode_status(message, JSON)) == {"message": message}


def test_a_partial_success():
    outcome = PartialSuccess(3, "search a: zero vector")
    partial = ExportTraceServiceResponse.FromString(encode_response(outcome, PROTOBUF))
    assert partial.partial_success.rejected_spans == 3
    assert partial.partial_success.error_message == "search a: zero vector"
    # A 64-bit integer is a text in OTLP's JSON.
    assert json.loads(encode_response(outcome, JSON))["partialSuccess"] == {
        "rejectedSpans": "3",
        "errorMessage": "search a: zero vector",
    }


def test_a_whole_success_says_nothing():
    assert encode_response(PartialSuccess(), PROTOBUF) == b""
    assert json.loads(encode_response(PartialSuccess(), JSON)) == {}


def test_what_is_compressed():
    assert decompress(BODY, "", len(BODY)) == BODY
    assert decompress(gzip.compress(BODY), "gzip", len(BODY)) == BODY


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (gzip.compress(BODY), "gzip", "at most 599 bytes"),
        (gzip.compress(BODY[:-1])[:-4], "gzip", "it ends early"),
        (BODY, "gzip", "not gzip"),
        (BODY, "zstd", "gzip is the only encoding"),
    ],
    ids=["too long", "cut off", "plain", "zstd"],
)
def test_what_cannot_be_decompressed(body, encoding, message):
    with pytest.raises(InputError, match=message):
        decompress(body, encoding, len(BODY) - 1)
