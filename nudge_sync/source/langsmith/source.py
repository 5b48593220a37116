"""A project of LangSmith as a source of feedback.

Runs are asked for at `/api/v2/runs/query`, which LangSmith's own client uses from 2026 on: it stops
using `/api/v1/runs/query` after January 2027. Feedback is at `/api/v1/feedback`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nudge_sync.errors import ConfigError
from nudge_sync.source import (
    SourceError,
    read_secret,
    refuse_secrets_in_address,
    refuse_secrets_in_table,
    validate_settings,
)
from nudge_sync.source.http import JsonClient
from nudge_sync.source.langsmith.runs import parse_feedback, parse_run
from nudge_sync.source.openinference.spans import Span, format_iso_time
from nudge_sync.source.openinference.trace_server import (
    TraceOpinion,
    TraceServerSettings,
    TraceServerSource,
)
from nudge_sync.source.shapes import expect_shape

LANGSMITH_KEY_VARIABLE = "LANGSMITH_API_KEY"
_PAGE_RUNS = 500
_PAGE_FEEDBACK = 100
_SELECTED = [
    "ID", "TRACE_ID", "PARENT_RUN_IDS", "NAME", "RUN_TYPE", "START_TIME", "END_TIME", "INPUTS",
    "OUTPUTS", "METADATA", "THREAD_ID",
]  # fmt: skip


class LangsmithSettings(TraceServerSettings):
    """The table of a LangSmith source."""

    url: str = "https://api.smith.langchain.com"
    project: str = "default"
    """The project's name."""
    workspace: str = ""
    """The id of the workspace, where the key is for several."""
    api_key_file: Path | None = None
    """A file with the key, where the environment has no LANGSMITH_API_KEY."""


def open_langsmith(section: Mapping[str, Any]) -> TraceServerSource:
    """Return the source that a `[[feedback.sources]]` table describes. Raises ConfigError."""
    refuse_secrets_in_table(section, "feedback.sources", LANGSMITH_KEY_VARIABLE, "api_key_file")
    settings = validate_settings(LangsmithSettings, section, "feedback.sources")
    refuse_secrets_in_address(settings.url, "feedback.sources.url", LANGSMITH_KEY_VARIABLE)
    return TraceServerSource(settings, LangsmithServer(settings))


class LangsmithServer:
    """See `TraceServer`."""

    product = "LangSmith"

    def __init__(self, settings: LangsmithSettings) -> None:
        self._settings = settings
        key = read_secret(LANGSMITH_KEY_VARIABLE, settings.api_key_file, "api_key_file")
        if not key:
            raise ConfigError(
                "feedback.sources: LangSmith wants a key; set "
                f"{LANGSMITH_KEY_VARIABLE}, or api_key_file"
            )
        place = {"X-Tenant-Id": settings.workspace} if settings.workspace else {}
        # The address that LangSmith's own client takes may end where the routes here begin.
        url = settings.url.rstrip("/").removesuffix("/v1").removesuffix("/api")
        self._client = JsonClient(url, {"x-api-key": key, **place})
        self._project_id = ""

    def check(self) -> str:
        """See `TraceServer.check`."""
        self._find_project()
        info = self._client.get("/api/v1/info")
        return str(info.get("version") or "") if isinstance(info, Mapping) else ""

    def close(self) -> None:
        """See `TraceServer.close`."""
        self._client.close()

    def list_spans(self, start: float, end: float) -> Iterator[Span]:
        """See `TraceServer.list_spans`; only of the types that are needed."""
        bounds = {"min_start_time": format_iso_time(start), "max_start_time": format_iso_time(end)}
        if self._settings.cited or self._settings.retrievers:
            yield from self._list_runs(bounds)
        else:
            for kind in ("EMBEDDING", "RETRIEVER"):
                yield from self._list_runs({**bounds, "run_type": kind})

    def read_trace(self, trace_id: str, start: float) -> Sequence[Span]:
        """See `TraceServer.read_trace`."""
        query = {"trace_id": trace_id, "min_start_time": format_iso_time(start)}
        return list(self._list_runs(query))

    def list_opinions(self, start: float, end: float) -> Iterator[TraceOpinion]:
        """See `TraceServer.list_opinions`."""
        query = {
            "session": self._find_project(),
            "min_created_at": format_iso_time(start),
            "max_created_at": format_iso_time(end),
            "limit": _PAGE_FEEDBACK,
        }
        offset, count = 0, _PAGE_FEEDBACK
        while count == _PAGE_FEEDBACK:
            entries = self._client.get("/api/v1/feedback", {**query, "offset": offset})
            with expect_shape("feedback of LangSmith"):
                settings = self._settings
                parsed = [
                    parse_feedback(each, settings.labels, settings.scores) for each in entries
                ]
            yield from (opinion for opinion in parsed if opinion is not None)
            count = len(parsed)
            offset += count

    def _find_project(self) -> str:
        if not self._project_id:
            name = self._settings.project
            found = self._client.get("/api/v1/sessions", {"name": name, "limit": 1})
            with expect_shape("the projects of LangSmith"):
                ids = [str(project["id"]) for project in found if project["name"] == name]
            if not ids:
                raise SourceError(f"{self._client.url} has no project {name!r} for this key")
            self._project_id = ids[0]
        return self._project_id

    def _list_runs(self, query: Mapping[str, Any]) -> Iterator[Span]:
        body = {
            "project_ids": [self._find_project()],
            "page_size": _PAGE_RUNS,
            "selects": _SELECTED,
            **query,
        }
        cursor: str | None = ""
        while cursor is not None:
            page = {**body, **({"cursor": cursor} if cursor else {})}
            answer = self._client.post("/api/v2/runs/query", page)
            with expect_shape("a run of LangSmith"):
                runs = [parse_run(run, self._settings.retrievers) for run in answer["items"]]
                cursor = answer.get("next_cursor") or None
            yield from runs
