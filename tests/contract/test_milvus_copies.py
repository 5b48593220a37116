"""Copies, resource groups and databases of Milvus, on a server with one query node."""

from __future__ import annotations

import pytest

pytest.importorskip("pymilvus")

from pymilvus import MilvusClient

from nudge_sync.connector import Record, Replication, connect
from nudge_sync.errors import UnsupportedCollection
from nudge_sync.testing.engine import unit_rows
from nudge_sync_milvus import ingest

NAME, COLLECTION = "copies__nudge_originals", "copies"
pytestmark = pytest.mark.milvus_server


@pytest.fixture(scope="module")
def section(milvus_server_uri):
    """A database of its own on the server, as the `[database]` table names it."""
    client = MilvusClient(milvus_server_uri, dedicated=True)
    client.create_database("of_copies")
    yield {"uri": milvus_server_uri, "db_name": "of_copies"}
    client.drop_database("of_copies")
    client.close()


@pytest.fixture
def database(section):
    database = connect("milvus", section)
    ingest(database, COLLECTION, [1, 2, 3], unit_rows(3, seed=1), [{}, {}, {}])
    yield database
    for name in (NAME, COLLECTION):
        database.records(name).drop()
    database.close()


def test_records_stand_in_the_database_and_the_group_of_the_collection(database, section):
    database.records_beside(COLLECTION, NAME, 4).put([Record("a", {})])
    assert database.replication(NAME) == database.replication(COLLECTION) == Replication()
    in_default = connect("milvus", {"uri": section["uri"]})
    assert in_default.records(NAME, 4).get(["a"]) == []
    in_default.close()


def test_a_named_group_is_used(database, section):
    grouped = connect("milvus", section | {"resource_groups": ["__default_resource_group"]})
    grouped.records_beside(COLLECTION, NAME, 4).put([Record("a", {"number": 1})])
    assert grouped.records(NAME, 4).get(["a"])[0].document == {"number": 1}
    grouped.close()


def test_more_copies_than_query_nodes_are_refused_and_nothing_is_lost(database):
    records = database.records_beside(COLLECTION, NAME, 4)
    records.put([Record("a", {"number": 1})])
    with pytest.raises(UnsupportedCollection, match="cannot be loaded in 2 copies"):
        database.replicate(NAME, Replication(2, 2, 2))
    assert records.get(["a"])[0].document == {"number": 1}
    assert database.replication(NAME) == Replication()


def test_fewer_copies_by_the_settings_are_announced(database, section):
    asked = connect("milvus", section | {"replica_number": 2})
    assert asked.replication(NAME, beside=COLLECTION) == Replication(2, 2, 2)
    assert asked.replication(NAME, beside="nothing") is None
    asked.close()
