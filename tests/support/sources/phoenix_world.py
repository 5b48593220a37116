"""Phoenix, filled as an instrumented application and its users fill it: over OTLP and REST."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import httpx

from nudge_sync.source.phoenix.source import PhoenixSource, open_phoenix
from nudge_sync.testing.source_conformance import LoggedOpinion, LoggedSearch
from tests.support.sources.otlp import build_request, make_span_id
from tests.support.timeouts import TIMEOUT_SECONDS


class PhoenixWorld:
    """A new project of a Phoenix server."""

    def __init__(self, url: str, **section: Any) -> None:
        self.url = url
        self.project = f"p{uuid4().hex}"
        self.section = {"url": url, "project": self.project, **section}
        self.client = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS)
        self.span_count = 0
        self.client.post("/v1/projects", json={"name": self.project}).raise_for_status()

    def open(self) -> PhoenixSource:
        return open_phoenix(self.section)

    def open_unreachable(self) -> PhoenixSource:
        return open_phoenix({**self.section, "url": "http://127.0.0.1:9"})

    def log_searches(self, searches: Sequence[LoggedSearch]) -> None:
        request = build_request(searches, self.project, self.project)
        answer = self.client.post(
            "/v1/traces",
            content=request.SerializeToString(),
            headers={"Content-Type": "application/x-protobuf"},
        )
        answer.raise_for_status()
        self.span_count += 3 * len(searches)
        self._wait_for_spans()

    def log_opinions(self, opinions: Sequence[LoggedOpinion]) -> None:
        data = [
            {
                "span_id": make_span_id(opinion.search, "retriever", self.project),
                "document_position": opinion.search.shown.index(opinion.point),
                "name": "relevance",
                "annotator_kind": "LLM" if opinion.is_from_model else "HUMAN",
                "result": {"score": opinion.grade},
            }
            for opinion in opinions
        ]
        self._post_annotations("/v1/document_annotations", data)

    def log_thumbs(self, searches: Sequence[LoggedSearch], score: float) -> None:
        """Log a person's thumb on the answer of each search."""
        data = [
            {
                "span_id": make_span_id(search, "chain", self.project),
                "name": "user feedback",
                "annotator_kind": "HUMAN",
                "result": {"score": score},
            }
            for search in searches
        ]
        self._post_annotations("/v1/span_annotations", data)

    def close(self) -> None:
        self.client.close()

    def _post_annotations(self, path: str, data: list[dict[str, Any]]) -> None:
        self.client.post(path, params={"sync": "true"}, json={"data": data}).raise_for_status()

    def _wait_for_spans(self) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self._count_spans() < self.span_count:
            assert time.monotonic() < deadline, "the server does not take the spans in"
            time.sleep(0.1)

    def _count_spans(self) -> int:
        count, cursor = 0, ""
        while cursor is not None:
            parameters = {"limit": 1000, **({"cursor": cursor} if cursor else {})}
            answer = self.client.get(f"/v1/projects/{self.project}/spans", params=parameters)
            answer.raise_for_status()
            count += len(answer.json()["data"])
            cursor = answer.json()["next_cursor"]
        return count
