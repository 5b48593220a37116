"""The Python and the configuration in README and docs/, run against real packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore
from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import TextNode
from qdrant_client.models import Distance, VectorParams

import nudge_sync_qdrant
import nudge_sync_qdrant_edge
from nudge_sync import FeedbackLog
from nudge_sync.config import load_config
from nudge_sync.store.target import open_target
from tests.support.documentation import PAGES, find_code_blocks, read_page
from tests.support.experiments.sample_experiment import start_canary, turn_vectors
from tests.support.source_code import ROOT, show_path
from tests.support.text_embeddings import DIMENSION, TEXTS, embed_text

FEEDBACK_PAGES = [
    show_path(page)
    for page in PAGES
    if page.name in {"README.md", "experiments.md"}
    or page.is_relative_to(ROOT / "docs" / "feedback")
]
HOW_TO = "docs/feedback/how-to.md"


def find_blocks(page: str, language: str) -> list[str]:
    return find_code_blocks(read_page(page), language)


class WordEmbeddings(Embeddings):
    """Vectors of words, as LangChain asks for them."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [embed_text(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return embed_text(text)


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    """Give what an application has at hand where an example begins."""
    database = nudge_sync_qdrant.connect({"location": ":memory:"})
    client = database.connection.client
    client.create_collection("docs", VectorParams(size=DIMENSION, distance=Distance.COSINE))
    store = QdrantVectorStore(client, "docs", embedding=WordEmbeddings())
    ids = list(range(len(TEXTS)))
    store.add_texts(TEXTS, ids=ids)
    nodes = [TextNode(text=text) for text in TEXTS]
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=DIMENSION))
    log = FeedbackLog(database, "docs", flush_seconds=60)
    moved = ids[:4]
    vectors = database.collection("docs").read(moved).vectors
    start_canary(open_target(database, "docs"), moved, turn_vectors(vectors))
    names = {
        "database": database,
        "client": client,
        "store": store,
        "index": index,
        "log": log,
        "query_vector": embed_text("swept wings"),
        "shown_ids": ids[:3],
        "point_id": ids[1],
    }
    yield names
    if "experiment" in names:
        names["experiment"].close()
    log.close(0)
    database.close()


@pytest.mark.parametrize(
    ("page", "number"),
    [
        (page, number)
        for page in FEEDBACK_PAGES
        for number, block in enumerate(find_blocks(page, "python"))
        if "ingest(" not in block
    ],
)
def test_an_example_logs_a_search_and_what_came_of_it(
    page: str, number: int, names: dict[str, Any]
):
    exec(compile(find_blocks(page, "python")[number], f"{page} {number}", "exec"), names)
    with names["log"] as log:
        assert log.flush(60)
        assert log.counts.refused == 0, log.counts.last_error
    target = open_target(names["database"], "docs")
    [search] = [record for batch in target.queries.scan() for record in batch]
    events = [record.document for batch in target.events.scan() for record in batch]
    assert events
    assert {event["query_id"] for event in events} == {search.key}
    assert all(event["object_id"] in search.document["shown"] for event in events)


def test_there_are_examples():
    assert len(find_blocks(HOW_TO, "python")) == 3
    assert len(find_blocks("README.md", "python")) == 2
    assert len(find_blocks("docs/experiments.md", "python")) == 2


def test_the_embedded_collection_is_made_and_filled(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in find_blocks("README.md", "python") if "ingest(" in block]
    vectors = np.eye(3, DIMENSION, dtype=np.float32)

    exec(block, {"ids": [1, 2, 3], "vectors": vectors, "payloads": [{"title": "a"}] * 3})

    database = nudge_sync_qdrant_edge.connect({"path": "shards"})
    assert (database.collection("docs").read([1, 2, 3]).vectors == vectors).all()
    database.close()


def test_the_mapped_logs_are_configurations(tmp_path: Path):
    path = tmp_path / "nudge-sync.toml"
    logs = []
    for block in find_blocks(HOW_TO, "toml"):
        path.write_text('[database]\nconnector = "qdrant"\n[collections.docs]\n' + block)
        feedback = load_config(path).collections["docs"].feedback
        assert feedback.searches is not None
        assert feedback.events is not None
        logs.append((feedback.searches, feedback.events))
    (in_collections, in_tables) = logs
    assert [log.is_table for log in in_collections] == [False, False]
    assert (in_collections[0].client, in_collections[1].point) == ("user.id", "doc")
    assert [log.is_table for log in in_tables] == [True, True]
    assert (in_tables[0].shown, in_tables[1].table) == ("hits", "app.clicks")
