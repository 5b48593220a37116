"""Collections that tests of the Milvus connector fill, and look at through pymilvus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymilvus import MilvusClient

from nudge_sync.connector import Collection, Float32, PointId
from nudge_sync.testing.engine import unit_rows
from nudge_sync_milvus import MilvusDatabase, ingest

NAME = "nudge_rows"


def make_collection(
    database: MilvusDatabase, ids: Sequence[PointId], dimension: int = 8
) -> tuple[Collection, Float32]:
    """The collection NAME, with a payload for each point, and its vectors."""
    vectors = unit_rows(len(ids), seed=1, dimension=dimension)
    payloads = [{"page": f"page {row}", "row": row} for row in range(len(ids))]
    ingest(database, NAME, ids, vectors, payloads)
    return database.collection(NAME), vectors


def query_rows(
    client: MilvusClient, fields: Sequence[str] = ("*",), filter_: str = 'key != "\x00nowhere"'
) -> Any:
    return client.query(NAME, filter_, list(fields), consistency_level="Strong")


def build_flat_index(client: MilvusClient, field: str) -> Any:
    params = client.prepare_index_params()
    params.add_index(field, index_type="FLAT", metric_type="IP")
    return params
