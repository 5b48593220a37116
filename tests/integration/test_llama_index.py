"""LlamaIndex's own index on Qdrant and Milvus, searched through the retriever that logs."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import MetadataMode, QueryBundle, TextNode
from llama_index.vector_stores.qdrant import QdrantVectorStore

from nudge_sync import Experiment, FeedbackLog
from nudge_sync.connector import Database
from nudge_sync.llama_index import LoggedRetriever
from tests.support.collection_fixtures import find_server
from tests.support.feedback_store import read_stored_feedback
from tests.support.retrievers import (
    QUERY,
    STORE_ENGINES,
    check_logged_judgement,
    fail_to_connect,
    get_store_uri,
    open_store_database,
    start_text_canary,
)
from tests.support.text_embeddings import DIMENSION, TEXTS, embed_text


class CountedEmbedding(MockEmbedding):
    """An embedding model that counts how often a query is embedded."""

    query_count: int = 0

    def __init__(self) -> None:
        super().__init__(embed_dim=DIMENSION)

    def _get_text_embedding(self, text: str) -> list[float]:
        return embed_text(text)

    def _get_query_embedding(self, query: str) -> list[float]:
        self.query_count += 1
        return embed_text(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


@dataclass
class Library:
    """An index with nodes in it, and the database that nudge-sync sees."""

    index: VectorStoreIndex
    words: CountedEmbedding
    database: Database
    ids: list[str]


def on_qdrant(engine: str, folder: Path, server: Any) -> tuple[Any, Any]:
    database = open_store_database(engine, folder, server)
    return QdrantVectorStore("docs", client=database.connection.client), database


def on_milvus(engine: str, folder: Path, server: Any) -> tuple[Any, Any]:
    # Only where pymilvus is below 3: the store's own package demands that.
    stores = pytest.importorskip("llama_index.vector_stores.milvus")
    database = open_store_database(engine, folder, server)
    uri = get_store_uri(folder, server)
    store = stores.MilvusVectorStore(uri, collection_name="docs", dim=DIMENSION, overwrite=True)
    return store, database


@pytest.fixture(params=STORE_ENGINES)
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Library]:
    words = CountedEmbedding()
    with warnings.catch_warnings():
        # The store asks for payload indexes, which local mode has none of.
        warnings.filterwarnings("ignore", "Payload indexes have no effect")
        make = on_qdrant if request.param.startswith("qdrant") else on_milvus
        store, database = make(request.param, tmp_path, find_server(request, request.param))
        ids = [str(UUID(int=at + 1)) for at in range(len(TEXTS))]
        nodes = [TextNode(text=text, id_=id_) for text, id_ in zip(TEXTS, ids, strict=True)]
        context = StorageContext.from_defaults(vector_store=store)
        index = VectorStoreIndex(nodes, storage_context=context, embed_model=words)
    yield Library(index, words, database, ids)
    database.close()


def list_prompts(nodes: list[Any]) -> list[tuple[str, float, str, str]]:
    """Return what a language model and a re-ranker would see."""
    modes = (MetadataMode.LLM, MetadataMode.EMBED)
    return [
        (scored.node.node_id, scored.score, *(scored.node.get_content(mode) for mode in modes))
        for scored in nodes
    ]


def test_the_nodes_are_the_retrievers_own(library: Library):
    plain = library.index.as_retriever(similarity_top_k=5)
    before = list_prompts(plain.retrieve(QUERY))
    library.words.query_count = 0
    log = FeedbackLog(fail_to_connect, "docs")
    retriever = LoggedRetriever(plain, log)
    found = retriever.retrieve(QUERY)
    assert library.words.query_count == 1
    assert list_prompts(found) == before
    assert [scored.metadata["nudge_point_id"] for scored in found] == [row[0] for row in before]
    log.close(0)


def test_a_bundle_with_a_vector_is_not_embedded_again_and_not_changed(library: Library):
    log = FeedbackLog(fail_to_connect, "docs")
    retriever = LoggedRetriever(library.index.as_retriever(), log)
    bundle = QueryBundle(QUERY)
    retriever.retrieve(bundle)
    assert bundle.embedding is None
    library.words.query_count = 0
    retriever.retrieve(QueryBundle(QUERY, embedding=embed_text(QUERY)))
    assert library.words.query_count == 0
    log.close(0)


def test_it_works_without_blocking(library: Library):
    class Beside(type(library.index.vector_store)):
        """In-process databases have no asynchronous client for the same data."""

        async def aquery(self, *words: Any, **named: Any) -> Any:
            return self.query(*words, **named)

    library.index.vector_store.__class__ = Beside
    plain = library.index.as_retriever(similarity_top_k=5)
    log = FeedbackLog(fail_to_connect, "docs")
    library.words.query_count = 0
    found = asyncio.run(LoggedRetriever(plain, log).aretrieve(QUERY))
    assert library.words.query_count == 1
    assert list_prompts(found) == list_prompts(plain.retrieve(QUERY))
    assert log.counts.waiting == 1
    log.close(0)


def test_clicks_become_judgements(library: Library):
    with FeedbackLog(library.database, "docs", flush_seconds=0.01) as log:
        retriever = LoggedRetriever(
            library.index.as_retriever(similarity_top_k=4), log, session=lambda: "s1", client="c1"
        )
        nodes = retriever.retrieve(QUERY)
        chosen = nodes[1].metadata
        log.relevant(chosen["nudge_query_id"], chosen["nudge_point_id"], session="s1")
        assert log.flush(60)
        assert (log.counts.stored, log.counts.refused) == (2, 0), log.counts.last_error
    shown = [scored.node.node_id for scored in nodes]
    check_logged_judgement(library.database, shown, chosen["nudge_point_id"], library.ids)


def test_a_search_does_not_fail_for_its_log(library: Library):
    def unknown() -> str:
        raise LookupError("nobody is logged in")

    log = FeedbackLog(fail_to_connect, "docs")
    plain = library.index.as_retriever()
    found = LoggedRetriever(plain, log, session=unknown).retrieve(QUERY)
    assert list_prompts(found) == list_prompts(plain.retrieve(QUERY))
    assert (log.counts.refused, log.counts.last_error) == (1, "LookupError: nobody is logged in")
    log.close(0)


def test_an_experiment_decides_which_nodes_are_found(library: Library):
    best = start_text_canary(library.database, library.ids)[:3]
    with (
        FeedbackLog(library.database, "docs", flush_seconds=0.01) as log,
        Experiment(library.database, "docs", log=log, deadline=30) as experiment,
    ):
        assert experiment.wait_until_ready(30)
        retriever = LoggedRetriever(
            library.index.as_retriever(similarity_top_k=8),
            log,
            session="s1",
            experiment=experiment,
            top_k=3,
        )
        nodes = retriever.retrieve(QUERY)
        assert log.flush(60)
    [search], _ = read_stored_feedback(library.database)
    shown = [scored.node.node_id for scored in nodes]
    assert search.document["shown"] == shown == best
    assert search.document["arm"] == "treatment"
    assert {scored.metadata["nudge_query_id"] for scored in nodes} == {search.key}


def test_an_experiment_needs_to_know_how_many_nodes_to_return(library: Library):
    log = FeedbackLog(fail_to_connect, "docs")
    with (
        Experiment(fail_to_connect, "docs") as experiment,
        pytest.raises(ValueError, match="top_k"),
    ):
        LoggedRetriever(library.index.as_retriever(), log, experiment=experiment)
    log.close(0)
