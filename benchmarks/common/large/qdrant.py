"""Qdrant for million_points.py: the server in QDRANT_URL, or one from QDRANT_BINARY."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from qdrant_client import QdrantClient, models

from common.large.corpus import MadeUpCorpus
from common.large.engine import Graph, LargeEngine
from nudge_sync.connector import Float32
from nudge_sync_qdrant import connect
from tests.support.qdrant_server.address import find_or_start_qdrant, open_client

NAME = "nudge_million_points"
_BATCH = 1000
_INDEXED_FROM_KB = 100
"""A segment smaller than this is not indexed; a small collection has to be, too."""
_INDEXED_SHARE = 0.9
"""The last points may stay in a segment of their own."""
_POLL_SECONDS, _BUILD_SECONDS = 2.0, 7200.0


def open_engine(folder: Path, corpus: MadeUpCorpus, graph: Graph) -> LargeEngine:
    del folder
    stack = ExitStack()
    section = stack.enter_context(find_or_start_qdrant())
    client = open_client(section, prefer_grpc=True)
    stack.callback(client.close)
    client.delete_collection(NAME)
    stack.callback(client.delete_collection, NAME)
    _build(client, corpus, graph)
    database = connect({**section, "hnsw_ef": graph.ef})

    def update(ids: Sequence[int], vectors: Float32) -> None:
        rows = [
            models.PointVectors(id=key, vector=row.tolist())
            for key, row in zip(ids, vectors, strict=True)
        ]
        client.update_vectors(NAME, rows, wait=True, ordering=models.WriteOrdering.STRONG)

    return LargeEngine(
        f"Qdrant {client.info().version}",
        database,
        NAME,
        update,
        lambda: int(client.get_collection(NAME).indexed_vectors_count or 0),
        stack,
    )


def _build(client: QdrantClient, corpus: MadeUpCorpus, graph: Graph) -> None:
    client.create_collection(
        NAME,
        vectors_config=models.VectorParams(
            size=corpus.dimension, distance=models.Distance.COSINE, on_disk=True
        ),
        hnsw_config=models.HnswConfigDiff(m=graph.m, ef_construct=graph.ef_construct),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=_INDEXED_FROM_KB),
    )
    for ids, vectors in corpus.blocks():
        for start in range(0, len(ids), _BATCH):
            batch = models.Batch(
                ids=list(ids[start : start + _BATCH]),
                vectors=vectors[start : start + _BATCH].tolist(),
            )
            client.upsert(NAME, batch, wait=True)
        print(f"  stored {ids.stop:,} of {corpus.count:,}", flush=True)
    deadline = time.monotonic() + _BUILD_SECONDS
    while not _is_indexed(client, corpus.count):
        if time.monotonic() > deadline:
            raise SystemExit(f"the index is not built after {_BUILD_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)


def _is_indexed(client: QdrantClient, count: int) -> bool:
    info = client.get_collection(NAME)
    is_green = info.status == models.CollectionStatus.GREEN
    return is_green and int(info.indexed_vectors_count or 0) >= _INDEXED_SHARE * count
