"""LangSmith, filled by its own client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from langchain_core.documents import Document
from langsmith import Client, RunTree

from nudge_sync.source import FeedbackSource
from nudge_sync.source.langsmith.source import open_langsmith
from nudge_sync.testing.source_conformance import LoggedOpinion, LoggedSearch
from tests.support.sources.json_server import serve
from tests.support.sources.langsmith.server import LangsmithServer


class LangsmithWorld:
    """A project of its own."""

    def __init__(self, server: LangsmithServer, client: Client, **section: Any) -> None:
        self.server = server
        self.client = client
        self.project = f"p{uuid4().hex}"
        self.section = {"url": server.url, "project": self.project, **section}
        self.logged: dict[str, RunTree] = {}
        self.roots: dict[str, RunTree] = {}
        self.project_id = server.add_project(self.project)

    def open(self) -> FeedbackSource:
        return open_langsmith(self.section)

    def open_unreachable(self) -> FeedbackSource:
        return open_langsmith({**self.section, "url": "http://127.0.0.1:9"})

    def log_searches(self, searches: Sequence[LoggedSearch]) -> None:
        for search in searches:
            self._log_search(search)
        self.client.flush()

    def log_opinions(self, opinions: Sequence[LoggedOpinion]) -> None:
        for opinion in opinions:
            self.log_feedback(
                self.logged[opinion.search.text],
                key="relevance",
                value={opinion.point: opinion.grade},
                feedback_source_type="model" if opinion.is_from_model else "api",
            )

    def log_feedback(self, run: RunTree, **feedback: Any) -> None:
        """Log a feedback on a run."""
        self.client.create_feedback(run_id=run.id, session_id=self.project_id, **feedback)

    def get_root(self, search: LoggedSearch) -> RunTree:
        """The run of a search's answer."""
        return self.roots[search.text]

    def _log_search(self, search: LoggedSearch) -> None:
        start = datetime.fromtimestamp(search.time, UTC)
        metadata = {"session_id": search.session, "user_id": search.client}
        root = RunTree(
            name="answer",
            run_type="chain",
            inputs={"question": search.text},
            start_time=start,
            project_name=self.project,
            client=self.client,
            extra={"metadata": dict(metadata)},
        )
        embedding = root.create_child(
            name="embed",
            run_type="embedding",
            inputs={"text": search.text},
            start_time=start,
            extra={"metadata": dict(metadata)},
        )
        retriever = root.create_child(
            name="retrieve",
            run_type="retriever",
            inputs={"query": search.text},
            start_time=start,
            extra={"metadata": dict(metadata)},
        )
        documents = [
            Document(page_content=f"the text of {point}", metadata={"doc_id": point})
            for point in search.shown
        ]
        end = start + timedelta(seconds=0.2)
        embedding.end(outputs={"embedding": list(search.vector)}, end_time=end)
        retriever.end(outputs={"documents": documents}, end_time=end)
        root.end(outputs={"answer": "so", "cited": [search.shown[0]]}, end_time=end)
        for run in (root, embedding, retriever):
            run.post()
        self.logged[search.text] = retriever
        self.roots[search.text] = root


@contextmanager
def start_langsmith() -> Iterator[tuple[LangsmithServer, Client]]:
    """Yield a server with nothing in it, and a client that writes to it."""
    server = LangsmithServer()
    with serve(server) as url:
        client = Client(api_url=url, api_key="ls")
        try:
            yield server, client
        finally:
            client.cleanup()
