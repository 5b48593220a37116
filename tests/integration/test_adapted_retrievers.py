"""The retrievers of LangChain and LlamaIndex search by an adapted query and log the model's own."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import QueryBundle, TextNode

from nudge_sync import Experiment, FeedbackLog, langchain, llama_index
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.feedback_store import read_stored_feedback
from tests.support.retrievers import QUERY, fail_to_connect, make_adapter
from tests.support.text_embeddings import DIMENSION, TEXTS, embed_text


def make_database() -> MemoryDatabase:
    database = MemoryDatabase()
    vectors = np.array([embed_text(text) for text in TEXTS], np.float32)
    database.store.create("docs", DIMENSION, "cosine")
    database.store.upsert("docs", [str(row) for row in range(len(TEXTS))], vectors)
    return database


class TextEmbeddings(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [embed_text(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return embed_text(text)


def make_store() -> InMemoryVectorStore:
    store = InMemoryVectorStore(TextEmbeddings())
    store.add_texts(TEXTS, ids=[str(row) for row in range(len(TEXTS))])
    return store


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize("search_type", ["similarity", "mmr"])
def test_langchain_asks_by_the_adapted_query_and_logs_the_models_own(way: str, search_type: str):
    store, adapter, database = make_store(), make_adapter(), make_database()
    adapted = adapter(embed_text(QUERY))
    if search_type == "mmr":
        expected = store.max_marginal_relevance_search_by_vector(adapted)
    else:
        expected = store.similarity_search_by_vector(adapted)
    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        settings: dict[str, Any] = {"search_type": search_type, "query_adapter": adapter}
        retriever = langchain.LoggedRetriever(vectorstore=store, log=log, **settings)
        found = (
            retriever.invoke(QUERY) if way == "invoke" else asyncio.run(retriever.ainvoke(QUERY))
        )
        assert log.flush(60)

    assert [one.id for one in found] == [one.id for one in expected]
    assert found[0].page_content == "straight wings at d"
    [search], _ = read_stored_feedback(database)
    assert search.vector == pytest.approx(embed_text(QUERY), abs=1e-6)


def test_langchain_refuses_an_adapter_that_cannot_reach_the_search():
    log = FeedbackLog(fail_to_connect, "docs")
    settings: dict[str, Any] = {"vectorstore": make_store(), "log": log}
    with pytest.raises(ValueError, match="no threshold"):
        langchain.LoggedRetriever(
            **settings,
            query_adapter=make_adapter(),
            search_type="similarity_score_threshold",
            search_kwargs={"score_threshold": 0.5},
        )
    experiment = Experiment(fail_to_connect, "docs", log=log)
    with pytest.raises(ValueError, match="an experiment"):
        langchain.LoggedRetriever(**settings, query_adapter=make_adapter(), experiment=experiment)
    experiment.close()
    log.close(0)


class TextEmbedding(MockEmbedding):
    def _get_text_embedding(self, text: str) -> list[float]:
        return embed_text(text)

    def _get_query_embedding(self, query: str) -> list[float]:
        return embed_text(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return embed_text(query)


def make_index() -> VectorStoreIndex:
    nodes = [TextNode(text=text, id_=str(row)) for row, text in enumerate(TEXTS)]
    return VectorStoreIndex(nodes, embed_model=TextEmbedding(embed_dim=DIMENSION))


@pytest.mark.parametrize("is_embedded", [False, True])
@pytest.mark.parametrize("way", ["retrieve", "aretrieve"])
@pytest.mark.parametrize("mode", ["default", "mmr"])
def test_llama_index_asks_by_the_adapted_query_and_logs_the_models_own(
    mode: str, way: str, is_embedded: bool
):
    adapter, database = make_adapter(), make_database()
    plain = make_index().as_retriever(similarity_top_k=4, vector_store_query_mode=mode)
    expected = plain.retrieve(QueryBundle(QUERY, embedding=adapter(embed_text(QUERY))))
    asked = QueryBundle(QUERY, embedding=embed_text(QUERY) if is_embedded else None)
    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        retriever = llama_index.LoggedRetriever(plain, log, query_adapter=adapter)
        found = (
            retriever.retrieve(asked)
            if way == "retrieve"
            else asyncio.run(retriever.aretrieve(asked))
        )
        assert log.flush(60)

    assert [one.node.node_id for one in found] == [one.node.node_id for one in expected]
    assert found[0].text == "straight wings at d"
    [search], _ = read_stored_feedback(database)
    assert search.vector == pytest.approx(embed_text(QUERY), abs=1e-6)


def test_llama_index_refuses_an_adapter_that_cannot_reach_the_search():
    index, log = make_index(), FeedbackLog(fail_to_connect, "docs")
    sparse = index.as_retriever(vector_store_query_mode="sparse")
    with pytest.raises(ValueError, match="by vector alone"):
        llama_index.LoggedRetriever(sparse, log, query_adapter=make_adapter())
    with (
        Experiment(fail_to_connect, "docs", log=log) as experiment,
        pytest.raises(ValueError, match="an experiment"),
    ):
        llama_index.LoggedRetriever(
            index.as_retriever(),
            log,
            query_adapter=make_adapter(),
            experiment=experiment,
            top_k=3,
        )
    log.close(0)
