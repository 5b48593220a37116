"""Writes that a server spoils, loses or would put into two partitions."""

from __future__ import annotations

import pytest

pytest.importorskip("pymilvus")

from pymilvus.grpc_gen import milvus_pb2

from nudge_sync.connector import Points
from nudge_sync.errors import WriteNotVerified
from nudge_sync.testing.engine import unit_rows
from tests.support.milvus_backdoor import MilvusBackdoor
from tests.support.milvus_collections import NAME, make_collection


def test_a_key_in_two_partitions_is_left_alone(milvus_client, connect_milvus, milvus_uri):
    if milvus_uri.endswith(".db"):
        pytest.skip("Milvus Lite keeps a key in one partition")
    backdoor = MilvusBackdoor(milvus_client)
    backdoor.create(NAME, 8, "dot", integer_ids=True)
    vectors = unit_rows(2, 1, 8)
    milvus_client.insert(
        NAME, [backdoor.make_row(1, vectors[0], 0), backdoor.make_row(2, vectors[1], 1)]
    )
    milvus_client.insert(NAME, [backdoor.make_row(1, vectors[0], 0)], partition_name="first")
    collection = connect_milvus().collection(NAME)
    report = collection.write(Points([1, 2], unit_rows(2, 2, 8)), vectors)
    assert (report.written, report.drifted) == ([2], [1])


def test_a_field_that_changes_beside_the_vector(milvus_client, connect_milvus, milvus_uri):
    if milvus_uri.endswith(".db"):
        pytest.skip("Milvus Lite writes the vector alone")
    database = connect_milvus()
    collection, vectors = make_collection(database, [1, 2])
    call = database.connection.call

    def spoiling(method, request):
        if method == "Upsert":
            dynamic = next(column for column in request.fields_data if column.is_dynamic)
            dynamic.scalars.json_data.data[0] = b'{"page":"spoilt"}'
        return call(method, request)

    database.connection.call = spoiling
    with pytest.raises(WriteNotVerified, match="meta"):
        collection.write(Points([1, 2], unit_rows(2, 2, 8)), vectors)


@pytest.mark.parametrize(("count", "counted"), [(3, False), (200, True)])
def test_rows_that_the_server_loses_in_an_upsert(connect_milvus, count, counted):
    """As Milvus 3.0 did on tiered storage: deleted, not inserted again, and called a success."""
    database = connect_milvus()
    collection, vectors = make_collection(database, list(range(count)))
    call = database.connection.call

    def losing(method, request):
        answer = call(method, request)
        if method == "Upsert":
            delete = milvus_pb2.DeleteRequest(
                collection_name=request.collection_name, expr=f"id >= 0 and id < {count}"
            )
            answer.timestamp = call("Delete", delete).timestamp
            answer.upsert_cnt = count if counted else 0
        return answer

    database.connection.call = losing
    with pytest.raises(WriteNotVerified, match="are gone"):
        collection.write(Points(list(range(count)), unit_rows(count, 2, 8)), vectors)


@pytest.mark.parametrize("stale_answers", [1, 2])
def test_an_answer_from_before_the_upsert_is_not_the_last_word(connect_milvus, stale_answers):
    """As a busy server has given: all rows as they were, although the write was waited for."""
    database = connect_milvus()
    collection, vectors = make_collection(database, [1, 2])
    call, before, is_written, left = database.connection.call, None, False, stale_answers

    def lagging(method, request):
        nonlocal before, is_written, left
        if method == "Query" and is_written and left:
            left -= 1
            return before
        answer = call(method, request)
        if method == "Query":
            before = answer
        is_written = is_written or method == "Upsert"
        return answer

    database.connection.call = lagging
    new_vectors = unit_rows(2, 2, 8)
    if stale_answers == 1:
        report = collection.write(Points([1, 2], new_vectors), vectors)
        assert (report.written, report.drifted, report.missing) == ([1, 2], [], [])
    else:
        with pytest.raises(WriteNotVerified, match="1, 2 still hold their old vectors"):
            collection.write(Points([1, 2], new_vectors), vectors)
    database.connection.call = call
    stored = collection.read([1, 2])
    assert stored.vectors.tobytes() == new_vectors.tobytes()
