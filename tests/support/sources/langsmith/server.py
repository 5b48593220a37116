"""The part of LangSmith that its client writes to and that the source reads.

No LangSmith server can be had: it is no free software. What comes in is what LangSmith's own client
sends. What goes out has the layout of that client's own types, generated from LangSmith's OpenAPI
description (`langsmith.types.run.Run`, `langsmith.schemas.Feedback`), by which each answer is read
once; it is documented at https://docs.langchain.com/langsmith/smithdb-sdk-migration-query-runs and
https://docs.langchain.com/langsmith/feedback-data-format.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.message import Message
from email.parser import BytesParser
from typing import Any
from uuid import uuid4

from langsmith.schemas import Feedback
from langsmith.types.run import Run

from tests.support.sources.json_server import JsonServer, RefusedRequest, Request

_MAX_RUNS, _MAX_FEEDBACK = 1000, 100


class LangsmithServer(JsonServer):
    """A workspace; the key is ls. A project is made when the first run names it."""

    def __init__(self) -> None:
        super().__init__()
        self.projects: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.feedback: dict[str, dict[str, Any]] = {}
        info = {"version": "0.16.2"}
        self.routes = {
            ("GET", "/info"): lambda _: info,
            ("GET", "/api/v1/info"): lambda _: info,
            ("POST", "/runs/multipart"): self.take_parts,
            ("POST", "/feedback"): self.take_feedback,
            ("GET", "/api/v1/sessions"): self.list_projects,
            ("POST", "/api/v2/runs/query"): self.query_runs,
            ("GET", "/api/v1/feedback"): self.list_feedback,
        }

    def add_project(self, name: str) -> str:
        return self.projects.setdefault(name, str(uuid4()))

    def take_parts(self, request: Request) -> dict[str, Any]:
        """Take in runs whose inputs, outputs and metadata come as parts of their own."""
        header = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
        message = BytesParser().parsebytes(header + request.body)
        for part in message.get_payload():
            assert isinstance(part, Message)
            name = part.get_param("name", header="Content-Disposition")
            event, run_id, *field = name.split(".", 2)
            content = json.loads(part.get_payload(decode=True))
            if event == "feedback":
                self.store_feedback(content)
                continue
            run = self.runs.setdefault(run_id, {})
            run.update({field[0]: content} if field else content)
            if "session_name" in run:
                run["session_id"] = self.add_project(run["session_name"])
        return {}

    def take_feedback(self, request: Request) -> dict[str, Any]:
        self.store_feedback(json.loads(request.body))
        return {}

    def store_feedback(self, body: dict[str, Any]) -> None:
        trace_id = self.runs[body["run_id"]]["trace_id"]
        self.feedback[body["id"]] = {"trace_id": trace_id, **body}

    def list_projects(self, request: Request) -> list[dict[str, Any]]:
        check_key(request)
        found = [name for name in self.projects if name == request.query.get("name", name)]
        return [
            {"id": self.projects[name], "name": name, "tenant_id": str(uuid4())} for name in found
        ]

    def query_runs(self, request: Request) -> dict[str, Any]:
        check_key(request)
        body = json.loads(request.body)
        size = body.get("page_size", 100)
        if not 1 <= size <= _MAX_RUNS:
            raise RefusedRequest(400, "page_size")
        start, end = read_moment(body["min_start_time"]), read_moment(body.get("max_start_time"))
        matching = [
            run
            for run in self.runs.values()
            if run["session_id"] in body["project_ids"]
            and start <= read_moment(run["start_time"]) <= end
            and body.get("run_type", run["run_type"].upper()) == run["run_type"].upper()
            and body.get("trace_id", run["trace_id"]) == run["trace_id"]
        ]
        matching.sort(key=lambda run: run["start_time"], reverse=True)
        first = int(body.get("cursor", 0))
        page = [
            select_fields(build_run(run), body["selects"]) for run in matching[first : first + size]
        ]
        for run in page:
            Run.model_validate(run, strict=False)
        is_last = first + size >= len(matching)
        return {"items": page, "next_cursor": None if is_last else str(first + size)}

    def list_feedback(self, request: Request) -> list[dict[str, Any]]:
        check_key(request)
        query = request.query
        limit, offset = int(query["limit"]), int(query["offset"])
        if limit > _MAX_FEEDBACK:
            raise RefusedRequest(422, "limit")
        first, last = read_moment(query["min_created_at"]), read_moment(query["max_created_at"])
        matching = [
            each
            for each in self.feedback.values()
            if each["session_id"] in query["session"].split(",")
            and first <= read_moment(each["created_at"]) <= last
        ]
        matching.sort(key=lambda each: each["created_at"], reverse=True)
        page = matching[offset : offset + limit]
        for each in page:
            Feedback.model_validate(each)
        return page


def check_key(request: Request) -> None:
    if request.headers.get("x-api-key") != "ls":
        raise RefusedRequest(401, "Invalid token")


def read_moment(text: str | None) -> datetime:
    moment = datetime.fromisoformat(text) if text else datetime.now(UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def build_run(run: dict[str, Any]) -> dict[str, Any]:
    """What LangSmith makes of a run that its client sent."""
    metadata = run.get("extra", {}).get("metadata", {})
    # dotted_order holds the ids of a run's ancestors and its own, each after its start.
    path = [part[-36:] for part in run["dotted_order"].split(".")]
    return {
        "id": run["id"],
        "trace_id": run["trace_id"],
        "parent_run_ids": path[:-1],
        "name": run["name"],
        "run_type": run["run_type"].upper(),
        "start_time": run["start_time"],
        "end_time": run.get("end_time"),
        "inputs": run.get("inputs"),
        "outputs": run.get("outputs"),
        "metadata": metadata,
        "thread_id": metadata.get("thread_id"),
        "project_id": run["session_id"],
    }


def select_fields(run: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name.lower(): run[name.lower()] for name in names}
