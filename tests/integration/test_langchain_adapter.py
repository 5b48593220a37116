"""LangChain's retriever searches by the adapted query and logs the model's own vector."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from nudge_sync import Experiment, FeedbackLog
from nudge_sync.langchain import LoggedRetriever
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.feedback_store import read_stored_feedback
from tests.support.retrievers import QUERY, fail_to_connect, make_adapter
from tests.support.text_embeddings import DIMENSION, TEXTS, embed_text


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
def test_it_searches_by_the_adapted_query_and_logs_the_models_own(way: str, search_type: str):
    store, adapter, database = make_store(), make_adapter(), MemoryDatabase()
    vectors = np.array([embed_text(text) for text in TEXTS], np.float32)
    database.store.create("docs", DIMENSION, "cosine")
    database.store.upsert("docs", [str(row) for row in range(len(TEXTS))], vectors)
    adapted = adapter(embed_text(QUERY))
    if search_type == "mmr":
        expected = store.max_marginal_relevance_search_by_vector(adapted)
    else:
        expected = store.similarity_search_by_vector(adapted)
    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        settings: dict[str, Any] = {"search_type": search_type, "query_adapter": adapter}
        retriever = LoggedRetriever(vectorstore=store, log=log, **settings)
        found = (
            retriever.invoke(QUERY) if way == "invoke" else asyncio.run(retriever.ainvoke(QUERY))
        )
        assert log.flush(60)

    assert [one.id for one in found] == [one.id for one in expected]
    assert found[0].page_content == "straight wings at d"
    [search], _ = read_stored_feedback(database)
    assert search.vector == pytest.approx(embed_text(QUERY), abs=1e-6)


def test_what_an_adapter_cannot_reach_is_refused():
    log = FeedbackLog(fail_to_connect, "docs")
    settings: dict[str, Any] = {"vectorstore": make_store(), "log": log}
    with pytest.raises(ValueError, match="no threshold"):
        LoggedRetriever(
            **settings,
            query_adapter=make_adapter(),
            search_type="similarity_score_threshold",
            search_kwargs={"score_threshold": 0.5},
        )
    experiment = Experiment(fail_to_connect, "docs", log=log)
    with pytest.raises(ValueError, match="an experiment"):
        LoggedRetriever(**settings, query_adapter=make_adapter(), experiment=experiment)
    experiment.close()
    log.close(0)
