"""What only Milvus has: other field types, partitions, hostile keys, message sizes, claims."""

from __future__ import annotations

import json
from threading import Barrier, Thread

import numpy as np
import pytest

pytest.importorskip("pymilvus")

from milvus_lite.server_manager import server_manager_instance
from pymilvus import DataType, MilvusClient
from pymilvus.grpc_gen import milvus_pb2

from nudge_sync.connector import Points, Record
from nudge_sync.errors import UnsupportedCollection, WriteNotVerified
from nudge_sync.testing.engine import unit_rows
from nudge_sync_milvus import MilvusDatabase, MilvusSettings, ingest
from nudge_sync_milvus.query import CollectionRef, scan_rows
from tests.support.milvus_backdoor import MilvusBackdoor

NAME = "nudge_rows"
SERVER = pytest.param("server", marks=pytest.mark.milvus_server)
HOSTILE = [
    "",
    "a",
    "it's",
    'say "x"',
    "back\\slash",
    "\\",
    "\\'",
    '\\"',
    "new\nline\r\n\ttab",
    "nul\0inside",
    'x" or key != "',
    "' or '1' == '1",
    "\\u0041",
    "{x} $meta %_*",
    "../../etc/passwd",
    "grüße 漢字 🜚 \u202e\u2028",
    "k" * 65_000,
]


@pytest.fixture(scope="module")
def lite_path(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("lite") / "rows.db")
    yield path
    server_manager_instance.release_server(path)


@pytest.fixture(params=["lite", SERVER])
def uri(request, lite_path):
    return lite_path if request.param == "lite" else request.getfixturevalue("milvus_server_uri")


@pytest.fixture
def client(uri):
    client = MilvusClient(uri, dedicated=True)
    client.drop_collection(NAME)
    yield client
    client.drop_collection(NAME)
    client.close()


@pytest.fixture
def connect_milvus(client, uri):
    """A function that opens a database on the same Milvus; all are closed in the end."""
    databases = []

    def open_database(**options):
        databases.append(MilvusDatabase(MilvusSettings(uri=uri), **options))
        return databases[-1]

    yield open_database
    for database in databases:
        database.close()


def make_collection(database, ids, dimension=8, **options):
    vectors = unit_rows(len(ids), seed=1, dimension=dimension)
    payloads = [{"page": f"page {row}", "row": row} for row in range(len(ids))]
    ingest(database, NAME, ids, vectors, payloads, **options)
    return database.collection(NAME), vectors


def query_rows(client, fields=("*",), filter_='key != "\x00nowhere"'):
    return client.query(NAME, filter_, list(fields), consistency_level="Strong")


def test_hostile_keys(connect_milvus):
    collection, vectors = make_collection(connect_milvus(), HOSTILE)
    found = collection.read(HOSTILE)
    assert found.ids == HOSTILE
    assert np.array_equal(found.vectors, vectors)
    for key, vector in zip(HOSTILE, vectors, strict=True):
        assert collection.read([key]).ids == [key]
        assert collection.search(vector[None], 1).ids == [[key]]
    assert sorted(key for part in collection.scan(5) for key in part.ids) == sorted(HOSTILE)
    assert collection.read(["it", "nowhere", "a'", '"', "k" * 70_000, "\ud800"]).ids == []
    new = unit_rows(len(HOSTILE), seed=2, dimension=8)
    assert collection.write(Points(HOSTILE, new), vectors).written == HOSTILE
    assert np.array_equal(collection.read(HOSTILE).vectors, new)
    assert collection.describe().points == len(HOSTILE)


def test_integer_keys_at_the_edges(connect_milvus):
    ids = [-(2**63), -(2**63) + 1, -1, 0, 1, 2**53 + 1, 2**63 - 2]
    collection, vectors = make_collection(connect_milvus(), ids)
    assert collection.read(ids).ids == ids
    assert sorted(key for part in collection.scan(2) for key in part.ids) == ids
    new = unit_rows(len(ids), seed=2, dimension=8)
    assert collection.write(Points(ids, new), vectors).written == ids
    assert np.array_equal(collection.read(ids).vectors, new)


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
def test_rows_beyond_one_message(client, connect_milvus, uri):
    if uri.endswith(".db"):
        pytest.skip("Milvus Lite takes 256 MiB")
    ids = list(range(1200))
    vectors = unit_rows(len(ids), seed=1, dimension=8)
    payloads = [{"long": "x" * 62_000 + str(row)} for row in ids]
    ingest(connect_milvus(), NAME, ids[:600], vectors[:600], payloads[:600])
    client.insert(
        NAME,
        [{"id": row, "vector": vectors[row], **payloads[row]} for row in ids[600:]],
    )
    new = unit_rows(len(ids), seed=2, dimension=8)
    collection = connect_milvus().collection(NAME)
    assert collection.write(Points(ids, new), vectors).written == ids
    (last,) = query_rows(client, ["long"], "id == 1199")
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


def test_auto_id_is_refused(client, connect_milvus):
    client.create_collection(NAME, dimension=4, auto_id=True)
    collection = connect_milvus().collection(NAME)
    assert "auto_id" in collection.describe().problems[0]
    with pytest.raises(UnsupportedCollection, match="auto_id"):
        collection.write(Points([1], unit_rows(1, 1, 4)), unit_rows(1, 2, 4))


def test_partition_key(client, connect_milvus):
    schema = client.create_schema(enable_dynamic_field=True)
    schema.add_field("key", DataType.INT64, is_primary=True)
    schema.add_field("tenant", DataType.VARCHAR, max_length=20, is_partition_key=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
    client.create_collection(NAME, schema=schema, index_params=flat(client, "vector"))
    vectors = unit_rows(30, 1, 8)
    client.insert(
        NAME,
        [
            {"key": row, "tenant": f"t{row % 5}", "vector": vectors[row], "row": row}
            for row in range(30)
        ],
    )
    new = unit_rows(30, 2, 8)
    collection = connect_milvus().collection(NAME)
    assert len(collection.write(Points(list(range(30)), new), vectors).written) == 30
    rows = query_rows(client, filter_="key >= 0")
    assert sorted((row["key"], row["tenant"], row["row"]) for row in rows) == [
        (row, f"t{row % 5}", row) for row in range(30)
    ]
    assert collection.describe().points == 30


def test_a_key_in_two_partitions_is_left_alone(client, connect_milvus, uri):
    if uri.endswith(".db"):
        pytest.skip("Milvus Lite keeps a key in one partition")
    backdoor = MilvusBackdoor(client)
    backdoor.create(NAME, 8, "dot", integer_ids=True)
    vectors = unit_rows(2, 1, 8)
    client.insert(NAME, [backdoor.make_row(1, vectors[0], 0), backdoor.make_row(2, vectors[1], 1)])
    client.insert(NAME, [backdoor.make_row(1, vectors[0], 0)], partition_name="first")
    collection = connect_milvus().collection(NAME)
    report = collection.write(Points([1, 2], unit_rows(2, 2, 8)), vectors)
    assert (report.written, report.drifted) == ([2], [1])


def test_every_kind_of_field_stays(client, connect_milvus, uri):
    schema = client.create_schema(enable_dynamic_field=True)
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
    lite = uri.endswith(".db")
    index = flat(client, "vector")
    if lite:
        schema.add_field("nothing", DataType.INT64, nullable=True)
        schema.add_field("usual", DataType.VARCHAR, max_length=20, default_value="usual")
        schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
        index.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    client.create_collection(NAME, schema=schema, index_params=index)
    vectors = unit_rows(9, 1, 8)
    rows = [_row(number, vectors[number], lite=lite) for number in range(9)]
    client.insert(NAME, rows)
    before = {row.pop("key"): row for row in map(dict, query_rows(client))}
    ids, new = sorted(before)[:6], unit_rows(6, 2, 8)
    order = [int(key) for key in ids]
    collection = connect_milvus().collection(NAME)
    # One has drifted, so that the others are picked out of the answer's columns.
    expected = vectors[order]
    expected[2] = 0
    report = collection.write(Points(ids, new), expected)
    assert report.drifted == [ids[2]]
    assert len(report.written) == 5
    after = {row.pop("key"): row for row in map(dict, query_rows(client))}
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


def flat(client, field):
    params = client.prepare_index_params()
    params.add_index(field, index_type="FLAT", metric_type="IP")
    return params


def test_several_vector_fields(client, connect_milvus, uri):
    if not uri.endswith(".db"):
        pytest.skip("Milvus 2.3 holds one vector field")
    MilvusBackdoor(client, second_vector="other").create(NAME, 8, "dot", integer_ids=True)
    database = connect_milvus()
    with pytest.raises(UnsupportedCollection, match="'other', 'vector'"):
        database.collection(NAME)
    assert database.collection(NAME, "other").describe().vector == ""
    assert database.collection(NAME, "vector").describe().vector == "vector"


def test_no_float_vector(client, connect_milvus, uri):
    schema = client.create_schema()
    schema.add_field("key", DataType.INT64, is_primary=True)
    schema.add_field("bits", DataType.BINARY_VECTOR, dim=16)
    params = client.prepare_index_params()
    params.add_index("bits", index_type="BIN_FLAT", metric_type="HAMMING")
    if uri.endswith(".db"):
        pytest.skip("Milvus Lite has no binary vectors")
    client.create_collection(NAME, schema=schema, index_params=params)
    with pytest.raises(UnsupportedCollection, match="'bits'"):
        connect_milvus().collection(NAME)


def test_swaps_in_a_race(connect_milvus):
    records = connect_milvus().records(f"{NAME}__records", 0, ())
    records.drop()
    records.put([Record("other", {})])
    try:
        for generation in (1, 2, 3):
            won = _race(
                [connect_milvus().records(f"{NAME}__records") for _ in range(4)], generation
            )
            assert len(won) <= 1
            held = [record.document for record in records.get(["lease"])]
            assert [
                document["by"] for document in held if document["generation"] == generation
            ] == won
            if not won:
                assert records.swap(
                    Record("lease", {"generation": generation, "by": 9}), generation - 1 or None
                )
        assert records.count() == 2
    finally:
        records.drop()


def _race(contenders, generation):
    barrier, won = Barrier(len(contenders)), []

    def swap(number):
        barrier.wait()
        lease = Record("lease", {"generation": generation, "by": number})
        if contenders[number].swap(lease, generation - 1 or None):
            won.append(number)

    threads = [Thread(target=swap, args=(number,)) for number in range(len(contenders))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def test_a_field_that_changes_beside_the_vector(client, connect_milvus, uri):
    if uri.endswith(".db"):
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
