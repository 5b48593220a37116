"""What schemas hold beside one vector: other fields stay as they are, others are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("pymilvus")

from pymilvus import DataType

from nudge_sync.connector import Points
from nudge_sync.errors import UnsupportedCollection, WriteNotVerified
from nudge_sync.testing.engine import unit_rows
from tests.support.milvus_backdoor import MilvusBackdoor
from tests.support.milvus_collections import NAME, build_flat_index, query_rows


def make_auto_id_collection(milvus_client):
    """Return the keys that Milvus made for 20 rows, and their vectors."""
    milvus_client.create_collection(NAME, dimension=8, auto_id=True, metric_type="IP")
    vectors = unit_rows(20, 1, 8)
    rows = [{"vector": vectors[row], "row": row} for row in range(20)]
    keys = [int(key) for key in milvus_client.insert(NAME, rows)["ids"]]
    return keys, vectors


def test_auto_id_is_refused_where_an_upsert_would_change_keys(
    milvus_client, connect_milvus, milvus_uri
):
    if milvus_uri.endswith(".db"):
        pytest.skip("Milvus Lite keeps the keys")
    keys, vectors = make_auto_id_collection(milvus_client)
    collection = connect_milvus().collection(NAME)
    assert "auto_id" in collection.describe().problems[0]
    with pytest.raises(UnsupportedCollection, match="auto_id"):
        collection.write(Points(keys, unit_rows(20, 2, 8)), vectors)


def test_keys_that_milvus_made_stay(milvus_client, connect_milvus, milvus_uri):
    if not milvus_uri.endswith(".db"):
        pytest.skip("no server at hand keeps them")
    keys, vectors = make_auto_id_collection(milvus_client)
    collection = connect_milvus().collection(NAME)
    assert not collection.describe().problems
    new = unit_rows(20, 2, 8)
    assert collection.write(Points(keys, new), vectors).written == keys
    stored = {row["id"]: row for row in query_rows(milvus_client, filter_="id > 0")}
    assert sorted(stored) == sorted(keys)
    assert [stored[key]["row"] for key in keys] == list(range(20))
    assert np.array_equal(np.float32([stored[key]["vector"] for key in keys]), new)


def test_a_server_that_makes_new_keys_is_stopped_after_one_row(
    milvus_client, connect_milvus, milvus_uri
):
    if not milvus_uri.endswith(".db"):
        pytest.skip("refused before anything is sent")
    keys, vectors = make_auto_id_collection(milvus_client)
    database = connect_milvus()
    call, sent = database.connection.call, []

    def renaming(method, request):
        answer = call(method, request)
        if method == "Upsert":
            sent.append(request.num_rows)
            answer.IDs.int_id.data[0] += 1
        return answer

    database.connection.call = renaming
    with pytest.raises(WriteNotVerified, match="other keys"):
        database.collection(NAME).write(Points(keys, unit_rows(20, 2, 8)), vectors)
    assert sent == [1]


def test_partition_key(milvus_client, connect_milvus):
    schema = milvus_client.create_schema(enable_dynamic_field=True)
    schema.add_field("key", DataType.INT64, is_primary=True)
    schema.add_field("tenant", DataType.VARCHAR, max_length=20, is_partition_key=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
    milvus_client.create_collection(
        NAME, schema=schema, index_params=build_flat_index(milvus_client, "vector")
    )
    vectors = unit_rows(30, 1, 8)
    milvus_client.insert(
        NAME,
        [
            {"key": row, "tenant": f"t{row % 5}", "vector": vectors[row], "row": row}
            for row in range(30)
        ],
    )
    new = unit_rows(30, 2, 8)
    collection = connect_milvus().collection(NAME)
    assert len(collection.write(Points(list(range(30)), new), vectors).written) == 30
    rows = query_rows(milvus_client, filter_="key >= 0")
    assert sorted((row["key"], row["tenant"], row["row"]) for row in rows) == [
        (row, f"t{row % 5}", row) for row in range(30)
    ]
    assert collection.describe().points == 30


def test_every_kind_of_field_stays(milvus_client, connect_milvus, milvus_uri):
    schema = milvus_client.create_schema(enable_dynamic_field=True)
    schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=50)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
    schema.add_field("flag", DataType.BOOL)
    for name in ("INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "JSON"):
        schema.add_field(name, getattr(DataType, name))
    for kind in (DataType.VARCHAR, DataType.BOOL, DataType.INT8, DataType.DOUBLE, DataType.INT64):
        length = {"max_length": 50} if kind == DataType.VARCHAR else {}
        schema.add_field(
            f"array_{kind}", DataType.ARRAY, element_type=kind, max_capacity=9, **length
        )
    lite = milvus_uri.endswith(".db")
    index = build_flat_index(milvus_client, "vector")
    if lite:
        schema.add_field("nothing", DataType.INT64, nullable=True)
        schema.add_field("usual", DataType.VARCHAR, max_length=20, default_value="usual")
        schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
        index.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    milvus_client.create_collection(NAME, schema=schema, index_params=index)
    vectors = unit_rows(9, 1, 8)
    rows = [_row(number, vectors[number], lite=lite) for number in range(9)]
    milvus_client.insert(NAME, rows)
    before = {row.pop("key"): row for row in map(dict, query_rows(milvus_client))}
    ids, new = sorted(before)[:6], unit_rows(6, 2, 8)
    order = [int(key) for key in ids]
    collection = connect_milvus().collection(NAME)
    # One has drifted, so that the others are picked out of the answer's columns.
    expected = vectors[order]
    expected[2] = 0
    report = collection.write(Points(ids, new), expected)
    assert report.drifted == [ids[2]]
    assert len(report.written) == 5
    after = {row.pop("key"): row for row in map(dict, query_rows(milvus_client))}
    for key, row in after.items():
        written = key in report.written
        wanted = new[ids.index(key)] if written else np.float32(before[key]["vector"])
        assert np.array_equal(np.float32(row.pop("vector")), wanted)
        del before[key]["vector"]
        assert to_json(row) == to_json(before[key])


def _row(number, vector, *, lite):
    row = {
        "key": str(number),
        "vector": vector,
        "flag": number % 2 == 0,
        "INT8": -number,
        "INT16": -300 * number,
        "INT32": 2**31 - 1 - number,
        "INT64": 2**63 - 1 - number,
        "FLOAT": 0.1 * number,
        "DOUBLE": 1 / 3 * number,
        "JSON": {"n": number, "big": 2**53 + 1, "one": 1.0, "nested": [{"é": None}]},
        f"array_{DataType.VARCHAR}": ["", "é\n", '"'][: number % 4],
        f"array_{DataType.BOOL}": [True, False][: number % 3],
        f"array_{DataType.INT8}": list(range(-4, 4))[: number % 9],
        f"array_{DataType.DOUBLE}": [0.1, 5e-324][: number % 3],
        f"array_{DataType.INT64}": [2**63 - 1][: number % 2],
        "dynamic": {"tags": [1, 1.0, None]},
        "sometimes" if number % 2 else "else": number,
    }
    if lite:
        row["sparse"] = {3: 0.5, 100 + number: 0.25}
        row["nothing"] = None if number % 2 else number
        row |= {} if number % 3 else {"usual": "other"}
    return row


def to_json(row):
    return json.dumps(row, default=str, sort_keys=True)


def test_several_vector_fields(milvus_client, connect_milvus, milvus_uri):
    if not milvus_uri.endswith(".db"):
        pytest.skip("Milvus 2.3 holds one vector field")
    MilvusBackdoor(milvus_client, second_vector="other").create(NAME, 8, "dot", integer_ids=True)
    database = connect_milvus()
    with pytest.raises(UnsupportedCollection, match="'other', 'vector'"):
        database.collection(NAME)
    assert database.collection(NAME, "other").describe().vector == ""
    assert database.collection(NAME, "vector").describe().vector == "vector"


def test_no_float_vector(milvus_client, connect_milvus, milvus_uri):
    schema = milvus_client.create_schema()
    schema.add_field("key", DataType.INT64, is_primary=True)
    schema.add_field("bits", DataType.BINARY_VECTOR, dim=16)
    params = milvus_client.prepare_index_params()
    params.add_index("bits", index_type="BIN_FLAT", metric_type="HAMMING")
    if milvus_uri.endswith(".db"):
        pytest.skip("Milvus Lite has no binary vectors")
    milvus_client.create_collection(NAME, schema=schema, index_params=params)
    with pytest.raises(UnsupportedCollection, match="'bits'"):
        connect_milvus().collection(NAME)
