"""The public API of Langfuse, as it is from Langfuse 4 on and in Langfuse Cloud."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nudge_sync.errors import ConfigError
from nudge_sync.source import read_secret
from nudge_sync.source.http import JsonClient
from nudge_sync.source.langfuse.observations import SOURCES_BY_ANNOTATOR, LangfuseReader
from nudge_sync.source.langfuse.settings import LangfuseSettings
from nudge_sync.source.openinference.spans import Span, format_iso_time
from nudge_sync.source.openinference.trace_server import TraceOpinion
from nudge_sync.source.shapes import expect_shape

LANGFUSE_SECRET_VARIABLE = "LANGFUSE_SECRET_KEY"  # noqa: S105 - the name of a variable
LANGFUSE_PUBLIC_VARIABLE = "LANGFUSE_PUBLIC_KEY"
_OBSERVATIONS = "/api/public/v2/observations"
_SCORES = "/api/public/v3/scores"
_PAGE_OBSERVATIONS = 500
_PAGE_SCORES = 100
"""The most that the API allows."""


class LangfuseServer:
    """See `TraceServer`: one project, that of the keys."""

    product = "Langfuse"

    def __init__(self, settings: LangfuseSettings) -> None:
        self._settings = settings
        self._reader = LangfuseReader(settings)
        self._client = JsonClient(settings.url, login=_read_keys(settings))

    def check(self) -> str:
        """See `TraceServer.check`."""
        health = self._client.get("/api/public/health")
        self._client.get("/api/public/projects")
        return str(health.get("version") or "") if isinstance(health, Mapping) else ""

    def close(self) -> None:
        """See `TraceServer.close`."""
        self._client.close()

    def list_spans(self, start: float, end: float) -> Iterator[Span]:
        """See `TraceServer.list_spans`; only of the types that are needed."""
        bounds = {"fromStartTime": format_iso_time(start), "toStartTime": format_iso_time(end)}
        for kind in self._list_types():
            yield from self._list_observations({**bounds, **kind})

    def read_trace(self, trace_id: str, start: float) -> Sequence[Span]:
        """See `TraceServer.read_trace`."""
        query = {"traceId": trace_id, "fromStartTime": format_iso_time(start)}
        return list(self._list_observations(query))

    def list_opinions(self, start: float, end: float) -> Iterator[TraceOpinion]:
        """See `TraceServer.list_opinions`; only of the sources and types that can count."""
        settings = self._settings
        sources = [each for name in settings.annotators for each in SOURCES_BY_ANNOTATOR[name]]
        if not sources:
            return
        types = ["NUMERIC", "BOOLEAN", *(["CATEGORICAL", "TEXT"] if settings.labels else [])]
        query = {
            "fromTimestamp": format_iso_time(start),
            "toTimestamp": format_iso_time(end),
            "source": ",".join(sources),
            "dataType": ",".join(types),
            "fields": "details,subject,annotation",
            "limit": _PAGE_SCORES,
        }
        names = {"name": ",".join(settings.scores)} if settings.scores else {}
        for entry in self._list_entries(_SCORES, {**query, **names}):
            with expect_shape("a score of Langfuse"):
                opinion = self._reader.parse_score(entry)
            if opinion is not None:
                yield opinion

    def _list_types(self) -> list[dict[str, str]]:
        """Return the queries by type; one for all types where any may be needed.

        Generations hold long prompts, which are not fetched for nothing.
        """
        if self._settings.cited or self._settings.retrievers:
            return [{}]
        return [{"type": "EMBEDDING"}, {"type": "RETRIEVER"}]

    def _list_observations(self, query: Mapping[str, Any]) -> Iterator[Span]:
        fields = {"fields": "core,basic,io,metadata", "limit": _PAGE_OBSERVATIONS}
        # Longer values of metadata are cut off unless they are named.
        keys = re.findall(r"\bmetadata\.(\w+)", self._settings.cited)
        expanded = {"expandMetadata": ",".join(keys)} if keys else {}
        for entry in self._list_entries(_OBSERVATIONS, {**query, **fields, **expanded}):
            with expect_shape("an observation of Langfuse"):
                span = self._reader.parse_observation(entry)
            yield span

    def _list_entries(self, path: str, query: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the entries of all pages."""
        place = {"environment": self._settings.environment} if self._settings.environment else {}
        cursor: str | None = ""
        while cursor is not None:
            page = {**query, **place, **({"cursor": cursor} if cursor else {})}
            answer = self._client.get(path, page)
            with expect_shape(f"{self._client.url}{path}"):
                entries, cursor = list(answer["data"]), answer["meta"].get("cursor") or None
            yield from entries


def _read_keys(settings: LangfuseSettings) -> tuple[str, str]:
    public = os.environ.get(LANGFUSE_PUBLIC_VARIABLE) or settings.public_key
    secret = read_secret(LANGFUSE_SECRET_VARIABLE, settings.secret_key_file, "secret_key_file")
    if not public or not secret:
        raise ConfigError(
            f"feedback.sources: Langfuse wants a project's keys; set {LANGFUSE_PUBLIC_VARIABLE} "
            f"(or public_key) and {LANGFUSE_SECRET_VARIABLE} (or secret_key_file)"
        )
    return public, secret
