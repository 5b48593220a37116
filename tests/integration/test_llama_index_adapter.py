"""LlamaIndex's retriever searches by the adapted query and logs the model's own vector."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import QueryBundle, TextNode

from nudge_sync import Experiment, FeedbackLog
from nudge_sync.llama_index import LoggedRetriever
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.feedback_store import read_stored_feedback
from tests.support.retrievers import QUERY, fail_to_connect, make_adapter
from tests.support.text_embeddings import DIMENSION, TEXTS, embed_text


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
def test_it_searches_by_the_adapted_query_and_logs_the_models_own(
    mode: str, way: str, is_embedded: bool
):
    adapter, database = make_adapter(), MemoryDatabase()
    vectors = np.array([embed_text(text) for text in TEXTS], np.float32)
    database.store.create("docs", DIMENSION, "cosine")
    database.store.upsert("docs", [str(row) for row in range(len(TEXTS))], vectors)
    plain = make_index().as_retriever(similarity_top_k=4, vector_store_query_mode=mode)
    expected = plain.retrieve(QueryBundle(QUERY, embedding=adapter(embed_text(QUERY))))
    asked = QueryBundle(QUERY, embedding=embed_text(QUERY) if is_embedded else None)
    with FeedbackLog(database, "docs", flush_seconds=0.01) as log:
        retriever = LoggedRetriever(plain, log, query_adapter=adapter)
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


def test_what_an_adapter_cannot_reach_is_refused():
    index, log = make_index(), FeedbackLog(fail_to_connect, "docs")
    sparse = index.as_retriever(vector_store_query_mode="sparse")
    with pytest.raises(ValueError, match="by vector alone"):
        LoggedRetriever(sparse, log, query_adapter=make_adapter())
    with (
        Experiment(fail_to_connect, "docs", log=log) as experiment,
        pytest.raises(ValueError, match="an experiment"),
    ):
        LoggedRetriever(
            index.as_retriever(),
            log,
            query_adapter=make_adapter(),
            experiment=experiment,
            top_k=3,
        )
    log.close(0)
