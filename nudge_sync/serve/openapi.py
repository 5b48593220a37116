"""The description of the feedback API in /openapi.json."""

from __future__ import annotations

import json
from typing import Any, get_args

from nudge_sync.feedback.ingest.batches import RowKind
from nudge_sync.feedback.schema.exposure import Arm, Team

_ID_SCHEMA = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
_COMMON_PROPERTIES: dict[str, Any] = {
    "time": {
        "anyOf": [{"type": "number"}, {"type": "string"}],
        "description": "seconds or milliseconds since 1970, or ISO 8601",
    },
    "session": {"type": "string"},
    "client": {"type": "string"},
}
_ROW_SCHEMAS: dict[RowKind, dict[str, Any]] = {
    "search": {
        "type": "object",
        "required": ["query_id", "query_vector"],
        "properties": {
            "query_id": {"type": "string"},
            "query_vector": {"type": "array", "items": {"type": "number"}},
            "text": {"type": "string"},
            "shown": {"type": "array", "items": _ID_SCHEMA, "description": "best first"},
            "propensities": {"type": "array", "items": {"type": "number"}},
            "experiment": {"type": "string"},
            "arm": {"enum": list(get_args(Arm))},
            "teams": {"type": "array", "items": {"enum": list(get_args(Team))}},
            "moved": {"type": "array", "items": {"type": "boolean"}},
            "fallback": {"type": "string"},
            **_COMMON_PROPERTIES,
        },
    },
    "event": {
        "type": "object",
        "required": ["query_id", "action", "point"],
        "properties": {
            "query_id": {"type": "string"},
            "action": {"type": "string"},
            "point": _ID_SCHEMA,
            "position": {"type": "integer", "minimum": 1, "description": "1 is the top"},
            "grade": {"type": "number"},
            **_COMMON_PROPERTIES,
        },
    },
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "stored; counts, and with partial=true the rows refused"},
    400: {"description": "not JSON, or no collection chosen"},
    401: {"description": "a bearer token is needed"},
    403: {"description": "no token is set, and the host is neither an IP address nor localhost"},
    404: {"description": "no such collection"},
    408: {"description": "the body took too long; send smaller batches"},
    413: {"description": "too many bytes or rows"},
    415: {"description": "not application/json"},
    422: {"description": "nothing stored: `refused` names the bad rows, counted from 0, and why"},
    503: {
        "description": "the database is busy or away, too many batches are in hand, or the "
        "daemon is ending; send the batch again after Retry-After"
    },
}

_RANKING_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "the results to show, their arm, and the query id to log clicks with"},
    422: {"description": "a field is missing or wrong"},
    500: {"description": "the search failed; the daemon's log says why"},
    503: {"description": "the database is busy or away; search by yourself"},
    **{status: _RESPONSES[status] for status in (400, 401, 403, 404, 408, 413, 415)},
}


def describe_ranking_route(body_schema: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that describe to FastAPI a route that ranks or searches.

    body_schema: the JSON schema of its body.
    """
    definitions = body_schema.get("$defs", {})
    text = json.dumps({key: value for key, value in body_schema.items() if key != "$defs"})
    # Where the schemas of a document refer to each other, their names count from its root.
    for name, definition in definitions.items():
        text = text.replace(json.dumps({"$ref": f"#/$defs/{name}"}), json.dumps(definition))
    body = {"required": True, "content": {"application/json": {"schema": json.loads(text)}}}
    return {"responses": _RANKING_RESPONSES, "openapi_extra": {"requestBody": body}}


def describe_route(kind: RowKind) -> dict[str, Any]:
    """Return the arguments that describe to FastAPI a route that takes rows of `kind`."""
    row_schema = _ROW_SCHEMAS[kind]
    row_or_list = {"oneOf": [row_schema, {"type": "array", "items": row_schema}]}
    body = {"required": True, "content": {"application/json": {"schema": row_or_list}}}
    return {"responses": _RESPONSES, "openapi_extra": {"requestBody": body}}


def describe_trace_route() -> dict[str, Any]:
    """Return the arguments that describe to FastAPI the route that takes traces."""
    schema = {"type": "object", "description": "An ExportTraceServiceRequest of OTLP"}
    types = ("application/json", "application/x-protobuf")
    body = {"required": True, "content": {name: {"schema": schema} for name in types}}
    responses: dict[int | str, dict[str, Any]] = {
        200: {"description": "taken; partial_success says how many searches were not, and why"},
        400: {"description": "not OTLP, not gzip, or no collection chosen"},
        503: _RESPONSES[503],
        **{status: _RESPONSES[status] for status in (401, 403, 404, 408, 413)},
        415: {"description": "neither " + " nor ".join(types)},
    }
    return {"responses": responses, "openapi_extra": {"requestBody": body}}
