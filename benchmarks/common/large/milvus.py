"""Milvus for million_points.py: the server in MILVUS_URI, or 2.3.5 from the wheel, with HNSW."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pymilvus import DataType, MilvusClient

from common.large.corpus import MadeUpCorpus
from common.large.engine import Graph, LargeEngine
from nudge_sync.connector import Float32
from nudge_sync_milvus import connect
from tests.support.milvus_server import find_or_start_milvus

NAME = "nudge_million_points"
_BATCH = 5000
_POLL_SECONDS = 2.0


def open_engine(folder: Path, corpus: MadeUpCorpus, graph: Graph) -> LargeEngine:
    del folder
    stack = ExitStack()
    uri = stack.enter_context(find_or_start_milvus())
    client = MilvusClient(uri, dedicated=True)
    stack.callback(client.close)
    client.drop_collection(NAME)
    stack.callback(client.drop_collection, NAME)
    _build(client, corpus, graph)
    database = connect({"uri": uri, "ef": graph.ef})

    def update(ids: Sequence[int], vectors: Float32) -> None:
        rows = [{"id": key, "vector": row} for key, row in zip(ids, vectors, strict=True)]
        client.upsert(NAME, rows)

    version = client.get_server_version()
    return LargeEngine(
        f"Milvus {version}", database, NAME, update, lambda: _count_indexed(client), stack
    )


def _build(client: MilvusClient, corpus: MadeUpCorpus, graph: Graph) -> None:
    """Insert all points, wait until all are indexed, and load them only then."""
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=corpus.dimension)
    client.create_collection(NAME, schema=schema)
    for ids, vectors in corpus.blocks():
        for start in range(0, len(ids), _BATCH):
            part = zip(ids[start : start + _BATCH], vectors[start : start + _BATCH], strict=True)
            client.insert(NAME, [{"id": key, "vector": row} for key, row in part])
        print(f"  stored {ids.stop:,} of {corpus.count:,}", flush=True)
    client.flush(NAME)
    _merge_segments(client)
    index = client.prepare_index_params()
    index.add_index(
        "vector",
        index_type="HNSW",
        metric_type="COSINE",
        params={"M": graph.m, "efConstruction": graph.ef_construct},
    )
    client.create_index(NAME, index)
    _wait_until_indexed(client, corpus.count)
    client.load_collection(NAME)


def _merge_segments(client: MilvusClient) -> None:
    """Merge them before they are indexed: else the server does so later, and indexes them again."""
    job = client.compact(NAME)
    while client.get_compaction_state(job) != "Completed":
        time.sleep(_POLL_SECONDS)


def _wait_until_indexed(client: MilvusClient, count: int) -> None:
    while _count_indexed(client) < count:
        time.sleep(_POLL_SECONDS)


def _count_indexed(client: MilvusClient) -> int:
    described = client.describe_index(NAME, "vector")
    return int(described["indexed_rows"]) - int(described["pending_index_rows"])
