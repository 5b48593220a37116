"""LangChain's own stores on Qdrant and Milvus, searched through the retriever that logs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore
from langchain_milvus import Milvus
from langchain_qdrant import QdrantVectorStore, RetrievalMode, SparseEmbeddings
from langchain_qdrant.sparse_embeddings import SparseVector
from qdrant_client import QdrantClient
from qdrant_client.models import (
    Distance,
    FieldCondition,
    Filter,
    Range,
    SparseVectorParams,
    VectorParams,
)

import nudge_sync_milvus
import nudge_sync_qdrant
from nudge_sync import Experiment, FeedbackLog
from nudge_sync.connector import Database
from nudge_sync.langchain import LoggedRetriever
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


class CountedEmbeddings(Embeddings):
    """Embeddings that count how often a query is embedded."""

    def __init__(self) -> None:
        self.query_count = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [embed_text(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.query_count += 1
        return embed_text(text)


@dataclass
class Library:
    """A vector store with documents in it, and the database that nudge-sync sees."""

    store: VectorStore
    words: CountedEmbeddings
    database: Database
    ids: list[Any]

    def close(self) -> None:
        if isinstance(self.store, Milvus):
            self.store.client.close()
        self.database.close()


def on_qdrant(
    engine: str, folder: Path, server: Any = "", distance: Distance = Distance.COSINE
) -> Library:
    # One client for both: a folder of local mode lets one in.
    database = open_store_database(engine, folder, server)
    client: QdrantClient = database.connection.client
    client.create_collection("docs", VectorParams(size=DIMENSION, distance=distance))
    words, ids = CountedEmbeddings(), list(range(100, 100 + len(TEXTS)))
    store = QdrantVectorStore(client, "docs", embedding=words, distance=distance)
    store.add_texts(TEXTS, [{"row": at} for at in range(len(TEXTS))], ids=ids)
    return Library(store, words, database, ids)


def on_milvus(engine: str, folder: Path, server: Any = "", metric_type: str = "COSINE") -> Library:
    uri, words = get_store_uri(folder, server), CountedEmbeddings()
    database = open_store_database(engine, folder, server)
    index = {"index_type": "FLAT", "metric_type": metric_type}
    store = Milvus(
        words,
        "docs",
        connection_args={"uri": uri},
        index_params=index,
        consistency_level="Strong",
    )
    ids = [f"d{at}" for at in range(len(TEXTS))]
    store.add_texts(TEXTS, [{"row": at} for at in range(len(TEXTS))], ids=ids)
    return Library(store, words, database, ids)


@pytest.fixture(params=STORE_ENGINES)
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Library]:
    make = on_qdrant if request.param.startswith("qdrant") else on_milvus
    library = make(request.param, tmp_path, find_server(request, request.param))
    yield library
    library.close()


def remove_marks(documents: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    marks = {"nudge_query_id", "nudge_point_id"}
    return [
        (
            document.page_content,
            {key: document.metadata[key] for key in document.metadata.keys() - marks},
        )
        for document in documents
    ]


def retrieve(retriever: Any, way: str, *options: dict[str, Any]) -> list[list[Any]]:
    """Search with each of `options`, where it is asynchronous in one event loop."""

    async def retrieve_all() -> list[list[Any]]:
        return [await retriever.ainvoke(QUERY, **more) for more in options]

    if way == "ainvoke":
        return asyncio.run(retrieve_all())
    return [retriever.invoke(QUERY, **more) for more in options]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize("search_type", ["similarity", "mmr"])
def test_the_documents_are_the_stores_own(library: Library, way: str, search_type: str):
    settings: dict[str, Any] = {"search_type": search_type, "search_kwargs": {"k": 5}}
    plain = library.store.as_retriever(**settings).invoke(QUERY)
    library.words.query_count = 0
    with FeedbackLog(library.database, "docs", flush_seconds=60) as log:
        retriever = LoggedRetriever(vectorstore=library.store, log=log, **settings)
        found, fewer = retrieve(retriever, way, {}, {"k": 2})
        assert library.words.query_count == 2
        assert remove_marks(found) == remove_marks(plain)
        assert len(fewer) == 2


def test_clicks_become_judgements(library: Library):
    with FeedbackLog(library.database, "docs", flush_seconds=0.01) as log:
        retriever = LoggedRetriever(vectorstore=library.store, log=log, search_kwargs={"k": 4})
        who = {"metadata": {"session": "s1", "client_id": "c1"}}
        documents = retriever.invoke(QUERY, config=who)
        chosen = documents[1].metadata
        log.relevant(chosen["nudge_query_id"], chosen["nudge_point_id"], session="s1")
        assert log.flush(60)
        assert (log.counts.stored, log.counts.refused) == (2, 0), log.counts.last_error
    shown = [document.metadata["nudge_point_id"] for document in documents]
    check_logged_judgement(library.database, shown, chosen["nudge_point_id"], library.ids)


def test_a_search_does_not_fail_for_its_log():
    store = InMemoryVectorStore(CountedEmbeddings())
    store.add_texts(TEXTS)
    log = FeedbackLog(fail_to_connect, "docs", capacity=2)
    retriever = LoggedRetriever(vectorstore=store, log=log)
    plain = store.as_retriever().invoke(QUERY)
    for _ in range(5):
        assert remove_marks(retriever.invoke(QUERY)) == remove_marks(plain)
    assert log.counts.dropped == 3
    assert not [entry for entry in store.store.values() if "nudge_query_id" in entry["metadata"]]
    log.close(0)
    assert remove_marks(retriever.invoke(QUERY)) == remove_marks(plain)


def test_ids_are_found_under_another_name():
    store = InMemoryVectorStore(CountedEmbeddings())
    store.add_texts(TEXTS, [{"sku": at} for at in range(len(TEXTS))], ids=[*"abcdefghijkl"])
    with FeedbackLog(fail_to_connect, "docs") as log:
        named = LoggedRetriever(vectorstore=store, log=log, id_key="sku").invoke(QUERY)
        assert all(each.metadata["nudge_point_id"] == each.metadata["sku"] for each in named)
        own = LoggedRetriever(vectorstore=store, log=log).invoke(QUERY)
        assert all(each.metadata["nudge_point_id"] == each.id for each in own)
        log.close(0)


class LetterEmbeddings(SparseEmbeddings):
    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> SparseVector:
        letters = sorted(set(text.encode()))
        return SparseVector(indices=letters, values=[float(text.count(chr(at))) for at in letters])


def hybrid_qdrant(folder: Path) -> Library:
    database = nudge_sync_qdrant.connect({"location": ":memory:"})
    client: QdrantClient = database.connection.client
    client.create_collection(
        "docs",
        {"dense": VectorParams(size=DIMENSION, distance=Distance.COSINE)},
        sparse_vectors_config={"letters": SparseVectorParams()},
    )
    words, ids = CountedEmbeddings(), list(range(len(TEXTS)))
    store = QdrantVectorStore(
        client,
        "docs",
        embedding=words,
        sparse_embedding=LetterEmbeddings(),
        retrieval_mode=RetrievalMode.HYBRID,
        vector_name="dense",
        sparse_vector_name="letters",
    )
    store.add_texts(TEXTS, ids=ids)
    return Library(store, words, database, ids)


def two_vectors_in_milvus(folder: Path) -> Library:
    uri, words = str(folder / "milvus.db"), CountedEmbeddings()
    index = {"index_type": "FLAT", "metric_type": "COSINE"}
    store = Milvus(
        [words, CountedEmbeddings()],
        "docs",
        connection_args={"uri": uri},
        index_params=[index, index],
        vector_field=["dense", "other"],
    )
    ids = [f"d{at}" for at in range(len(TEXTS))]
    store.add_texts(TEXTS, ids=ids)
    return Library(store, words, nudge_sync_milvus.connect({"uri": uri}), ids)


@pytest.mark.filterwarnings("ignore:The 'ranker_type':DeprecationWarning")
@pytest.mark.parametrize("make_library", [hybrid_qdrant, two_vectors_in_milvus])
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_searches_by_more_than_a_vector_stay_what_they_are(
    make_library: Any, way: str, tmp_path: Path
):
    library = make_library(tmp_path)
    plain = library.store.as_retriever().invoke(QUERY)
    with FeedbackLog(library.database, "docs", "dense", flush_seconds=0.01) as log:
        retriever = LoggedRetriever(vectorstore=library.store, log=log, embeddings=library.words)
        [found] = retrieve(retriever, way, {})
        assert remove_marks(found) == remove_marks(plain)
        assert log.flush(60)
        assert log.counts.stored == 1, log.counts.last_error
    [search], _ = read_stored_feedback(library.database, "docs", "dense")
    assert search.vector == pytest.approx(embed_text(QUERY), abs=1e-6)
    assert search.document["shown"] == [each.metadata["nudge_point_id"] for each in found]
    library.close()


def test_a_score_threshold_is_kept(tmp_path: Path):
    library = on_qdrant("qdrant-local", tmp_path)
    settings: dict[str, Any] = {
        "search_type": "similarity_score_threshold",
        "search_kwargs": {"score_threshold": 0.8, "k": 9},
    }
    plain = library.store.as_retriever(**settings).invoke(QUERY)
    with FeedbackLog(library.database, "docs") as log:
        found = LoggedRetriever(vectorstore=library.store, log=log, **settings).invoke(QUERY)
        assert remove_marks(found) == remove_marks(plain)
        assert 0 < len(found) < 9
    library.database.close()


def test_a_store_without_a_model_wants_one():
    class Bare(InMemoryVectorStore):
        embeddings = None

    with (
        FeedbackLog(fail_to_connect, "docs") as log,
        pytest.raises(ValueError, match="embeddings="),
    ):
        LoggedRetriever(vectorstore=Bare(CountedEmbeddings()), log=log)


@contextmanager
def rank_by_experiment(library: Library, **search: Any) -> Iterator[LoggedRetriever]:
    """Yield a retriever that ranks by the experiment that runs; search: its options."""
    with (
        FeedbackLog(library.database, "docs", flush_seconds=0.01) as log,
        Experiment(library.database, "docs", log=log, deadline=30) as experiment,
    ):
        assert experiment.wait_until_ready(30)
        yield LoggedRetriever(
            vectorstore=library.store, log=log, experiment=experiment, search_kwargs=search
        )


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_an_experiment_decides_which_documents_are_found(library: Library, way: str):
    best = start_text_canary(library.database, library.ids)[:3]
    with rank_by_experiment(library, k=3) as retriever:
        who = {"config": {"metadata": {"session": "s1"}}}
        [documents] = retrieve(retriever, way, who)
        assert retriever.log.flush(60)
    shown = [document.metadata["nudge_point_id"] for document in documents]
    [search], _ = read_stored_feedback(library.database)
    assert search.document["shown"] == shown == best
    assert (search.document["arm"], search.document["session_id"]) == ("treatment", "s1")
    assert "fallback" not in search.document
    assert all(document.page_content in TEXTS for document in documents)


def on_qdrant_by_distance(folder: Path) -> Library:
    return on_qdrant("qdrant-local", folder, distance=Distance.EUCLID)


def on_milvus_by_distance(folder: Path) -> Library:
    return on_milvus("milvus-lite", folder, metric_type="L2")


@pytest.mark.parametrize("make_library", [on_qdrant_by_distance, on_milvus_by_distance])
def test_distances_of_either_database_are_read_as_such(make_library: Any, tmp_path: Path):
    library = make_library(tmp_path)
    best = start_text_canary(library.database, library.ids)[:3]
    with rank_by_experiment(library, k=3) as retriever:
        documents = retriever.invoke(QUERY, config={"metadata": {"session": "s1"}})
        assert [document.metadata["nudge_point_id"] for document in documents] == best
        counts = retriever.experiment.counts
        assert counts.fallbacks == {}, counts.last_error
    library.close()


def test_a_filter_is_not_circumvented(library: Library):
    start_text_canary(library.database, library.ids)
    if isinstance(library.store, Milvus):
        options: dict[str, Any] = {"k": 3, "expr": "row >= 6"}
    else:
        condition = FieldCondition(key="metadata.row", range=Range(gte=6))
        options = {"k": 3, "filter": Filter(must=[condition])}
    with rank_by_experiment(library, **options) as retriever:
        documents = retriever.invoke(QUERY, config={"metadata": {"session": "s1"}})
    assert all(document.metadata["row"] >= 6 for document in documents)
    assert len(documents) == 3
