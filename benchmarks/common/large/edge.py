"""qdrant-edge for million_points.py: a shard with an HNSW graph, in a folder that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import qdrant_edge
from qdrant_edge import Distance, EdgeConfig, EdgeShard, EdgeVectorParams, Point, UpdateOperation

from common.large.corpus import MadeUpCorpus
from common.large.engine import Graph, LargeEngine
from nudge_sync.connector import Float32, connect

NAME = "docs"
_BATCH = 1000
_MAX_SEGMENT_KB = 32 * 2**20
"""More than any of these collections: all points in one segment, with one graph."""


def open_engine(folder: Path, corpus: MadeUpCorpus, graph: Graph) -> LargeEngine:
    if not (folder / NAME).is_dir():
        _build(folder, corpus, graph)
    database = connect("qdrant-edge", {"path": str(folder), "hnsw_ef": graph.ef})
    shard = database.shard(NAME)  # type: ignore[attr-defined]

    def update(ids: Sequence[int], vectors: Float32) -> None:
        batch = [
            qdrant_edge.PointVectors(i, row.tolist()) for i, row in zip(ids, vectors, strict=True)
        ]
        shard.update(UpdateOperation.update_vectors(batch))

    return LargeEngine(
        "qdrant-edge", database, NAME, update, lambda: shard.info().indexed_vectors_count
    )


def _build(folder: Path, corpus: MadeUpCorpus, graph: Graph) -> None:
    """Make the shard aside, so that one that was not finished is made again."""
    staging = folder / f".building-{NAME}"
    staging.mkdir(parents=True)
    shard = EdgeShard.create(
        str(staging),
        EdgeConfig(
            vectors=EdgeVectorParams(size=corpus.dimension, distance=Distance.Cosine),
            hnsw_config=qdrant_edge.HnswIndexConfig(
                m=graph.m, ef_construct=graph.ef_construct, full_scan_threshold=10_000
            ),
            optimizers=qdrant_edge.EdgeOptimizersConfig(
                default_segment_number=1, max_segment_size=_MAX_SEGMENT_KB
            ),
        ),
    )
    for ids, vectors in corpus.blocks():
        rows = vectors.tolist()
        for start in range(0, len(ids), _BATCH):
            part = zip(ids[start : start + _BATCH], rows[start : start + _BATCH], strict=True)
            shard.update(UpdateOperation.upsert_points([Point(i, row, {}) for i, row in part]))
        shard.flush()
        print(f"  stored {ids.stop:,} of {corpus.count:,}", flush=True)
    shard.optimize()
    shard.flush()
    shard.close()
    staging.rename(folder / NAME)
