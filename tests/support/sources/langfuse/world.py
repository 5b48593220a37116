"""Langfuse, filled by its own client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import opentelemetry.sdk.trace
from langfuse import Langfuse, propagate_attributes
from opentelemetry.sdk.trace import TracerProvider

from nudge_sync.source import FeedbackSource
from nudge_sync.source.langfuse.source import open_langfuse
from nudge_sync.testing.source_conformance import LoggedOpinion, LoggedSearch
from tests.support.sources.json_server import serve
from tests.support.sources.langfuse.server import LangfuseServer


class LangfuseWorld:
    """A project of its own."""

    def __init__(self, server: LangfuseServer, client: Langfuse, **section: Any) -> None:
        self.server = server
        self.client = client
        self.section = {"url": server.url, "public_key": server.public_key, **section}
        self.logged: dict[str, dict[str, str]] = {}

    def open(self) -> FeedbackSource:
        return open_langfuse(self.section)

    def open_unreachable(self) -> FeedbackSource:
        return open_langfuse({**self.section, "url": "http://127.0.0.1:9"})

    def log_searches(self, searches: Sequence[LoggedSearch]) -> None:
        for search in searches:
            self._log_search(search)
        self.client.flush()

    def log_opinions(self, opinions: Sequence[LoggedOpinion]) -> None:
        for opinion in opinions:
            ids = self.logged[opinion.search.text]
            score = {
                "name": "relevance",
                "value": opinion.grade,
                "trace_id": ids["trace"],
                "observation_id": ids["retriever"],
                "metadata": {"point": opinion.point},
            }
            if opinion.is_from_model:
                self.add_evaluation(score)
            else:
                self.client.create_score(**score)
        self.client.flush()

    def log_thumb(self, search: LoggedSearch, value: Any, **score: Any) -> None:
        """Log a score on the whole trace of a search."""
        trace_id = self.logged[search.text]["trace"]
        named = {"name": "thumb", "trace_id": trace_id, **score}
        self.client.create_score(value=value, **named)
        self.client.flush()

    def add_evaluation(self, score: dict[str, Any]) -> None:
        """Store what an evaluator of Langfuse's own says: no client can send that."""
        body = {
            "id": uuid4().hex,
            "name": score["name"],
            "value": score["value"],
            "traceId": score["trace_id"],
            "observationId": score.get("observation_id"),
            "metadata": score.get("metadata"),
        }
        self.server.add_score(body, "EVAL")

    def _log_search(self, search: LoggedSearch) -> None:
        client = self.client
        moment = int(search.time * 1e9)
        # Langfuse's client dates what it logs by the clock alone.
        with (
            patch.object(opentelemetry.sdk.trace, "time_ns", return_value=moment),
            propagate_attributes(session_id=search.session, user_id=search.client),
            client.start_as_current_observation(
                name="answer", as_type="chain", input=search.text
            ) as chain,
        ):
            with client.start_as_current_observation(
                name="embed", as_type="embedding", input=search.text
            ) as embedding:
                embedding.update(output=list(search.vector))
            with client.start_as_current_observation(
                name="retrieve", as_type="retriever", input={"query": search.text}
            ) as retriever:
                retriever.update(
                    output=[
                        {"page_content": f"the text of {point}", "metadata": {"doc_id": point}}
                        for point in search.shown
                    ]
                )
            padding = [f"unknown{number:030}" for number in range(9)]
            chain.update(output="so", metadata={"cited": [search.shown[0], *padding]})
            self.logged[search.text] = {"trace": chain.trace_id, "retriever": retriever.id}


@contextmanager
def start_langfuse() -> Iterator[tuple[LangfuseServer, Langfuse]]:
    """Yield a server with nothing in it, and a client that writes to it."""
    server = LangfuseServer()
    with serve(server) as url:
        client = Langfuse(
            public_key=server.public_key,
            secret_key="sk",
            base_url=url,
            tracer_provider=TracerProvider(),
        )
        try:
            yield server, client
        finally:
            client.shutdown()
