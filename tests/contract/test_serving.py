"""Searches for applications, as `ServingCollection` promises them, and what filters admit."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from pymilvus import MilvusClient
from qdrant_client import AsyncQdrantClient, models

import nudge_sync_milvus
import nudge_sync_qdrant
import nudge_sync_qdrant_edge
from nudge_sync.connector import PayloadReader, ServingCollection
from nudge_sync.errors import InputError
from nudge_sync_milvus import admit_points as admit_milvus_points
from nudge_sync_qdrant import admit_points, admit_points_async
from tests.support.collection_fixtures import find_server
from tests.support.experiments.filtered_search import make_filter, wait_until_visible
from tests.support.sample_collection import open_sample_collection

ENGINES = (
    "memory",
    "qdrant-edge",
    "qdrant-local",
    "qdrant",
    "milvus-lite",
    pytest.param("milvus", marks=pytest.mark.milvus_server),
)
PASSING = [3, 5, 8, 200]
QUERY = 4


@pytest.fixture(scope="module", params=ENGINES)
def sample(request, tmp_path_factory):
    server = find_server(request, request.param)
    folder = tmp_path_factory.mktemp("serving")
    with open_sample_collection(request.param, folder, server=server) as opened:
        wait_until_visible(opened)
        yield opened


@pytest.fixture
def collection(sample):
    return sample.database.collection("docs")


@pytest.fixture
def passing(sample):
    return make_filter(sample, PASSING)


def create_titled_collection(sample, payloads):
    """Make the collection "titled" of the first points of the sample, each with a payload."""
    rows, vectors = list(range(len(payloads))), sample.data.vectors[: len(payloads)]
    if sample.engine == "memory":
        sample.application.store.create("titled", vectors.shape[1])
        sample.application.store.upsert("titled", rows, vectors, payloads)
        return
    ingests = {
        "qdrant-edge": nudge_sync_qdrant_edge.ingest,
        "qdrant": nudge_sync_qdrant.ingest,
        "milvus": nudge_sync_milvus.ingest,
    }
    engine = sample.engine.removesuffix("-local").removesuffix("-lite")
    ingests[engine](sample.database, "titled", rows, vectors, payloads, metric="cosine")


def test_a_search_finds_what_search_does(sample, collection):
    assert isinstance(collection, ServingCollection)
    query = sample.data.queries[QUERY]
    expected = collection.search(query[None], 12)
    hits = collection.serve_search(query, 12)
    assert hits.ids == expected.ids
    assert hits.scores[0] == pytest.approx(expected.scores[0], abs=1e-6)
    assert collection.serve_search(query, 0).ids == [[]]


def test_payload_fields_are_read_by_id(sample):
    payloads = [{"title": f"document {row}", "private": "not asked for"} for row in range(4)]
    create_titled_collection(sample, payloads)
    collection = sample.database.collection("titled")
    assert isinstance(collection, PayloadReader)
    stored = collection.read_payloads([2, 0, 10**6, "x"], ["title", "subtitle"])
    assert {id_: fields.get("title") for id_, fields in stored.items()} == {
        0: "document 0",
        2: "document 2",
    }
    assert "not asked for" not in str(stored)
    assert collection.read_payloads([], ["title"]) == {}


def test_a_filter_admits_its_points_alone(sample, collection, passing):
    query = sample.data.queries[QUERY]
    hits = collection.serve_search(query, 10, passing)
    scores = sample.data.vectors[PASSING] @ query
    assert hits.ids == [[PASSING[row] for row in np.argsort(-scores)]]
    assert sorted(collection.select_ids([200, 5, 7, 10**6], passing)) == [5, 200]
    assert sorted(collection.select_ids([200, 7, 10**6, "x"])) == [7, 200]
    assert collection.select_ids([]) == []


@pytest.mark.parametrize("filter_", [7, object(), ["id > 3"]])
def test_what_is_no_filter_is_refused(sample, collection, filter_):
    with pytest.raises(InputError, match="filter"):
        collection.serve_search(sample.data.queries[QUERY], 3, filter_)
    with pytest.raises(InputError, match="filter"):
        collection.select_ids([1], filter_)


@pytest.mark.parametrize("filter_", ["deadline", "id =="])
def test_an_expression_that_milvus_refuses_is_an_input_error(sample, collection, filter_):
    if not sample.engine.startswith("milvus"):
        pytest.skip("Milvus's own form")
    with pytest.raises(InputError, match="filter"):
        collection.serve_search(sample.data.queries[QUERY], 3, filter_)
    with pytest.raises(InputError, match="filter"):
        collection.select_ids([1], filter_)


def test_a_query_that_is_none_is_refused(sample, collection):
    for query in (np.zeros(3, np.float32), np.full(32, np.nan, np.float32)):
        with pytest.raises(InputError):
            collection.serve_search(query, 3)


def test_qdrant_takes_json_too(sample, collection):
    if sample.engine not in {"qdrant-local", "qdrant"}:
        pytest.skip("Qdrant's own form")
    filter_ = {"must": [{"has_id": PASSING}]}
    assert sorted(collection.select_ids([5, 7], filter_)) == [5]


def test_the_application_s_filter_is_asked_through_its_own_client(sample, passing):
    if sample.engine in {"qdrant-local", "qdrant"}:
        client = sample.database.connection.client
        points = admit_points(client, "docs", passing)([200, 5, 7, 10**6])
        assert sorted(point.id for point in points) == [5, 200]
        assert sorted(point.id for point in admit_points(client, "docs")([7, 10**6])) == [7]
    elif sample.engine.startswith("milvus"):
        client = MilvusClient(sample.application.uri, dedicated=True)
        admits = admit_milvus_points(client, "docs", passing, output_fields=["row"])
        rows = sorted(admits([200, 5, 7, 10**6]), key=lambda row: row["id"])
        assert [(row["id"], row["row"]) for row in rows] == [(5, 5), (200, 200)]
        client.close()
    else:
        pytest.skip("no client of its own")


def test_qdrant_s_asynchronous_client_is_asked_as_well():
    async def ask():
        client = AsyncQdrantClient(":memory:")
        params = models.VectorParams(size=2, distance=models.Distance.DOT)
        await client.create_collection("docs", params)
        points = [models.PointStruct(id=id_, vector=[1.0, 0.0]) for id_ in (1, 2, 3)]
        await client.upsert("docs", points)
        filter_ = models.Filter(must=[models.HasIdCondition(has_id=[2, 3])])
        found = await admit_points_async(client, "docs", filter_)([1, 2, 9])
        await client.close()
        return [point.id for point in found]

    assert asyncio.run(ask()) == [2]
