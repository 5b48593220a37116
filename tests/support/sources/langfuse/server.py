"""The part of Langfuse that its client writes to and that the source reads.

No Langfuse server can be had from a package index: it is made of ClickHouse, PostgreSQL, Redis and
Node. What comes in is what Langfuse's own client sends. What goes out has the layout documented at
https://langfuse.com/docs/api-and-data-platform/features/observations-api and .../scores-api, and
each answer is read once by the models of Langfuse's own client, which refuse any other.
"""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from langfuse.api.core.pydantic_utilities import parse_obj_as
from langfuse.api.observations.types import ObservationsV2Response
from langfuse.api.scores.types import GetScoresV3Response
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from nudge_sync.source.openinference.otlp import read_protobuf_message
from nudge_sync.source.openinference.spans import Span
from tests.support.sources.json_server import JsonServer, RefusedRequest, Request

_MAX_OBSERVATIONS, _MAX_SCORES = 1000, 100


class LangfuseServer(JsonServer):
    """One project, with a public key of its own and the secret key sk."""

    def __init__(self) -> None:
        super().__init__()
        # Langfuse's client is one for each public key, wherever it is made.
        self.public_key = f"pk-{uuid4().hex}"
        self.observations: dict[str, dict[str, Any]] = {}
        self.scores: dict[str, dict[str, Any]] = {}
        self.routes = {
            ("GET", "/api/public/health"): lambda _: {"status": "OK", "version": "4.0.0"},
            ("GET", "/api/public/projects"): self.list_projects,
            ("POST", "/api/public/otel/v1/traces"): self.take_spans,
            ("POST", "/api/public/scores"): self.take_scores,
            ("GET", "/api/public/v2/observations"): self.list_observations,
            ("GET", "/api/public/v3/scores"): self.list_scores,
        }

    def check_login(self, request: Request) -> None:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic" or b64decode(encoded).decode() != f"{self.public_key}:sk":
            raise RefusedRequest(401, "Invalid credentials")

    def list_projects(self, request: Request) -> dict[str, Any]:
        self.check_login(request)
        return {"data": [{"id": "project", "name": "rag", "metadata": {}}]}

    def take_spans(self, request: Request) -> dict[str, Any]:
        ExportTraceServiceRequest.FromString(request.body)
        for span in read_protobuf_message(request.body):
            self.observations[span.span_id] = build_observation(span)
        return {}

    def take_scores(self, request: Request) -> dict[str, Any]:
        for body in json.loads(request.body):
            self.add_score(body, "API")
        return {"message": "Accepted"}

    def add_score(self, body: dict[str, Any], source: str) -> None:
        now = format_moment(datetime.now(UTC))
        known = self.scores.get(body["id"], {"createdAt": now})
        score = build_score(body, source)
        times = {"createdAt": known["createdAt"], "updatedAt": now}
        self.scores[body["id"]] = {"timestamp": now, **score, **times}

    def list_observations(self, request: Request) -> dict[str, Any]:
        self.check_login(request)
        query = request.query
        limit = int(query.get("limit", 50))
        if limit > _MAX_OBSERVATIONS:
            raise RefusedRequest(400, "limit")
        groups = set(query.get("fields", "core,basic").split(",")) | {"core"}
        matching = [
            each
            for each in self.observations.values()
            if query.get("fromStartTime", "") <= each["startTime"]
            and each["startTime"] < query.get("toStartTime", "9")
            and query.get("type", each["type"]) == each["type"]
            and query.get("traceId", each["traceId"]) == each["traceId"]
            and query.get("environment", each["environment"]) == each["environment"]
        ]
        matching.sort(key=lambda each: (each["startTime"], each["id"]), reverse=True)
        page, meta = cut_page(matching, query, limit)
        expanded = query.get("expandMetadata", "").split(",")
        data = [select_fields(each, groups, expanded) for each in page]
        answer = {"data": data, "meta": meta}
        parse_obj_as(type_=ObservationsV2Response, object_=answer)
        return answer

    def list_scores(self, request: Request) -> dict[str, Any]:
        self.check_login(request)
        query = request.query
        limit = int(query.get("limit", 50))
        if limit > _MAX_SCORES:
            raise RefusedRequest(400, "limit")
        matching = [
            each
            for each in self.scores.values()
            if query.get("fromTimestamp", "") <= each["timestamp"]
            and each["timestamp"] < query.get("toTimestamp", "9")
            and each["source"] in query.get("source", each["source"]).split(",")
            and each["dataType"] in query.get("dataType", each["dataType"]).split(",")
            and each["name"] in query.get("name", each["name"]).split(",")
        ]
        matching.sort(key=lambda each: (each["timestamp"], each["id"]), reverse=True)
        page, meta = cut_page(matching, query, limit)
        answer = {"data": page, "meta": {**meta, "limit": limit}}
        parse_obj_as(type_=GetScoresV3Response, object_=answer)
        return answer


def cut_page(
    entries: list[Any], query: dict[str, str], limit: int
) -> tuple[list[Any], dict[str, Any]]:
    start = int(query.get("cursor", 0))
    end = start + limit
    return entries[start:end], {"cursor": str(end)} if end < len(entries) else {}


def format_moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def build_observation(span: Span) -> dict[str, Any]:
    """What Langfuse makes of a span that its client sent."""
    own = span.get("langfuse", "observation") or {}
    return {
        "id": span.span_id,
        "traceId": span.trace_id,
        "startTime": format_moment(datetime.fromtimestamp(span.start, UTC)),
        "endTime": format_moment(datetime.fromtimestamp(span.end, UTC)),
        "projectId": "project",
        "parentObservationId": span.parent_id or None,
        "type": own["type"].upper(),
        "name": "",
        "environment": span.get("langfuse", "environment") or "default",
        "userId": span.get("user", "id") or "",
        "sessionId": span.get("session", "id") or "",
        "input": own.get("input"),
        "output": own.get("output"),
        "metadata": own.get("metadata") or {},
    }


_GROUPS = {
    "core": "id traceId startTime endTime projectId parentObservationId type",
    "basic": "name environment userId sessionId",
    "io": "input output",
    "metadata": "metadata",
}


def select_fields(
    observation: dict[str, Any], groups: set[str], expanded: list[str]
) -> dict[str, Any]:
    names = " ".join(fields for group, fields in _GROUPS.items() if group in groups).split()
    selected = {name: observation[name] for name in names}
    if "metadata" in selected:
        selected["metadata"] = {
            name: value if name in expanded else value[:200]
            for name, value in observation["metadata"].items()
        }
    return selected


def build_score(body: dict[str, Any], source: str) -> dict[str, Any]:
    if body.get("observationId"):
        subject = {"kind": "observation", "id": body["observationId"], "traceId": body["traceId"]}
    elif body.get("traceId"):
        subject = {"kind": "trace", "id": body["traceId"]}
    else:
        subject = {"kind": "session", "id": body["sessionId"]}
    kind = body.get("dataType") or "NUMERIC"
    score = {
        "id": body["id"],
        "projectId": "project",
        "name": body["name"],
        "value": bool(body["value"]) if kind == "BOOLEAN" else body["value"],
        "dataType": kind,
        "source": source,
        "environment": body.get("environment") or "default",
        "comment": body.get("comment"),
        "metadata": body.get("metadata") or {},
        "authorUserId": body.get("authorUserId"),
        "subject": subject,
    }
    return {**score, **({"timestamp": body["timestamp"]} if body.get("timestamp") else {})}
