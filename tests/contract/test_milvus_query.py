"""Rows beyond one message, and pages that lose some of theirs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pymilvus")

from nudge_sync.connector import Points
from nudge_sync.testing.engine import unit_rows
from nudge_sync_milvus import ingest
from nudge_sync_milvus.query import CollectionRef, scan_rows
from tests.support.milvus_collections import NAME, make_collection, query_rows


def test_small_messages(connect_milvus):
    ids = list(range(200))
    collection, vectors = make_collection(connect_milvus(request_bytes=12_000), ids)
    assert np.array_equal(collection.read(ids).vectors, vectors)
    assert sorted(key for part in collection.scan(70) for key in part.ids) == ids
    some = ids[::9]
    new = unit_rows(len(some), seed=2, dimension=8)
    assert collection.write(Points(some, new), vectors[some]).written == some
    assert np.array_equal(collection.read(some).vectors, new)
    assert len(collection.search(vectors, 3).ids) == 200


@pytest.mark.slow
@pytest.mark.milvus_server
def test_rows_beyond_one_message(milvus_client, connect_milvus, milvus_uri):
    if milvus_uri.endswith(".db"):
        pytest.skip("Milvus Lite takes 256 MiB")
    ids = list(range(1200))
    vectors = unit_rows(len(ids), seed=1, dimension=8)
    payloads = [{"long": "x" * 62_000 + str(row)} for row in ids]
    ingest(connect_milvus(), NAME, ids[:600], vectors[:600], payloads[:600])
    milvus_client.insert(
        NAME,
        [{"id": row, "vector": vectors[row], **payloads[row]} for row in ids[600:]],
    )
    new = unit_rows(len(ids), seed=2, dimension=8)
    collection = connect_milvus().collection(NAME)
    assert collection.write(Points(ids, new), vectors).written == ids
    (last,) = query_rows(milvus_client, ["long"], "id == 1199")
    assert last["long"] == payloads[-1]["long"]


def test_a_page_that_loses_rows(connect_milvus):
    database = connect_milvus()
    make_collection(database, list(range(40)))
    query = database.connection.query
    lost = {3, 17, 29}

    def lossy(collection, filter_, fields, **options):
        answer = query(collection, filter_, fields, **options)
        if options.get("limit"):
            keys = next(column for column in answer.fields_data if column.field_name == "id")
            kept = [key for key in keys.scalars.long_data.data if key not in lost]
            keys.scalars.long_data.data[:] = kept
        return answer

    database.connection.query = lossy
    found = [
        key
        for part in scan_rows(
            database.connection, CollectionRef(NAME, "id", True), [], row_limit=10
        )
        for key in part.keys
    ]
    assert sorted(found) == list(range(40))
