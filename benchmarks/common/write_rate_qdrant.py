"""Qdrant for write_rate.py: the server in QDRANT_URL, or one from QDRANT_BINARY.

QDRANT_PREFER_GRPC=1 speaks gRPC, QDRANT_PREFER_GRPC=0 REST: the bare client, too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack

from qdrant_client.models import PointVectors, WriteOrdering
from write_rate import Engine

from nudge_sync.connector import Float32
from nudge_sync_qdrant import connect, ingest
from tests.support.qdrant_server.address import find_or_start_qdrant, open_client
from tests.support.unit_vectors import make_unit_rows

NAME = "nudge_write_rate"


def open_engine(points: int, dimension: int) -> Engine:
    stack = ExitStack()
    prefer_grpc = os.environ.get("QDRANT_PREFER_GRPC", "") in {"1", "true"}
    section = stack.enter_context(find_or_start_qdrant()) | {"prefer_grpc": prefer_grpc}
    client = open_client(section, prefer_grpc=prefer_grpc)
    stack.callback(client.close)
    client.delete_collection(NAME)
    database = connect(section)
    stack.callback(database.close)
    ingest(database, NAME, range(points), make_unit_rows(points, dimension, seed=99))
    stack.callback(client.delete_collection, NAME)

    def update(ids: Sequence[int], vectors: Float32) -> None:
        rows = [
            PointVectors(id=i, vector=row.tolist()) for i, row in zip(ids, vectors, strict=True)
        ]
        client.update_vectors(NAME, rows, wait=True, ordering=WriteOrdering.STRONG)

    name = f"qdrant, {'gRPC' if prefer_grpc else 'REST'}"
    return Engine(name, 0.70, database.collection(NAME), update, stack.close)
