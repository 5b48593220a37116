"""The page that describes the feedback API."""

from __future__ import annotations

import pytest

from nudge_sync.serve.docs_page import describe_type, render_docs
from nudge_sync.serve.openapi import describe_trace_route


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "string"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer"),
        ({"type": "array", "items": {"type": "number"}}, "list of numbers"),
        (
            {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}},
            "list of integers or strings",
        ),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "list, each one of: a, b"),
        ({}, "anything"),
    ],
)
def test_a_schema_is_said_in_words(schema, words):
    assert describe_type(schema) == words


def test_a_body_without_fields_is_named():
    route = {"requestBody": describe_trace_route()["openapi_extra"]["requestBody"]}
    operation = {**route, "responses": {}}
    info = {"title": "t", "version": "1"}
    page = render_docs({"info": info, "paths": {"/v1/traces": {"post": operation}}})
    assert "ExportTraceServiceRequest of OTLP, as application/json or" in page


def test_no_name_becomes_markup():
    hostile = "<script>alert(1)</script>"
    schema = {"properties": {hostile: {"type": hostile, "description": hostile}}}
    operation = {
        "parameters": [{"name": hostile, "schema": {"type": "string"}}],
        "requestBody": {"content": {"application/json": {"schema": schema}}},
        "responses": {"200": {"description": hostile}},
    }
    info = {"title": hostile, "version": hostile}
    page = render_docs({"info": info, "paths": {f"/{hostile}": {"post": operation}}})
    assert "<script" not in page
    assert "&lt;script&gt;" in page
