"""The engine Milvus for write_rate.py: the server in MILVUS_URI, or 2.3.5 from the wheel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack

from pymilvus import MilvusClient
from write_rate import Engine

from nudge_sync.connector import Float32
from nudge_sync_milvus import connect, ingest
from tests.support.milvus_server import find_or_start_milvus
from tests.support.unit_vectors import make_unit_rows

NAME = "nudge_write_rate"


def open_engine(points: int, dimension: int) -> Engine:
    stack = ExitStack()
    uri = stack.enter_context(find_or_start_milvus())
    client = MilvusClient(uri, dedicated=True)
    stack.callback(client.close)
    database = connect({"uri": uri})
    stack.callback(database.close)
    client.drop_collection(NAME)
    payloads = [{"page": f"page {row}", "tags": ["a", "b"], "number": row} for row in range(points)]
    ingest(database, NAME, range(points), make_unit_rows(points, dimension, seed=99), payloads)
    stack.callback(client.drop_collection, NAME)

    def update(ids: Sequence[int], vectors: Float32) -> None:
        # Before 2.6.2 an upsert has to carry the whole row, which a bare client has to know.
        rows = [
            {"id": key, "vector": vector, **payloads[key]}
            for key, vector in zip(ids, vectors, strict=True)
        ]
        client.upsert(NAME, rows)

    print(f"{json.dumps(client.get_server_version())} at {uri}")
    # A read that sees every write waits for the server's clock, which ticks five times a second:
    # two such waits a batch, whatever its size.
    return Engine("milvus", 0.40, database.collection(NAME), update, stack.close, batch_size=2000)
