"""The recall of a real index is what brute force over the same vectors says, and reaches the plan.

A graph with few edges, searched with little effort, misses points on purpose.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient
from qdrant_client import models
from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeVectorParams,
    HnswIndexConfig,
    Point,
    ScalarQuantizationConfig,
    ScalarType,
    UpdateOperation,
)

import nudge_sync_milvus
from nudge_sync import cycle
from nudge_sync.base.progress import ignore_progress
from nudge_sync.config import CollectionSettings, GateSettings, SolverSettings
from nudge_sync.connector import Float32, connect
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.planning.plan_file import load_plan, save_plan
from nudge_sync.planning.unjudged.index_recall import IndexRecall, measure_index_recall
from nudge_sync.planning.unjudged.search import search_unjudged
from nudge_sync.store.target import Target, open_target
from tests.support.operations.running_daemon import wait_until
from tests.support.qdrant_server.address import open_client
from tests.support.unit_vectors import make_unit_rows, normalise_rows

POINTS, DIMENSION, DEPTH, QUERIES = 3000, 32, 10, 30
IDS_IN_PLAY = frozenset(range(0, POINTS, 10))
LAZY, THOROUGH = 10, 1000
"""Points that a search visits: as few as it returns, and a third of them all."""


@pytest.fixture(scope="module")
def vectors() -> Float32:
    return make_unit_rows(POINTS, DIMENSION, seed=0)


@pytest.fixture(scope="module")
def queries() -> Float32:
    return make_unit_rows(QUERIES, DIMENSION, seed=1)


def measure(target: Target, queries: Float32) -> tuple[Any, IndexRecall | None]:
    found = search_unjudged(
        target, queries, IDS_IN_PLAY, DEPTH, exact=False, progress=ignore_progress
    )
    recall = measure_index_recall(
        target, queries, found, IDS_IN_PLAY, depth=DEPTH, progress=ignore_progress
    )
    return found, recall


def count_found(found: Any, vectors: Float32, queries: Float32) -> float:
    """Return the share of the nearest unjudged points, by brute force, that were found."""
    scores = queries @ vectors.T
    scores[:, list(IDS_IN_PLAY)] = -np.inf
    nearest = np.argsort(-scores, axis=1)[:, :DEPTH]
    pairs = zip(found.ids, nearest.tolist(), strict=True)
    return float(np.mean([len({*ids} & {*best}) / DEPTH for ids, best in pairs]))


def open_edge(folder: Path, ef: int) -> Any:
    return connect("qdrant-edge", {"path": str(folder), "sync": False, "hnsw_ef": ef})


def make_edge(folder: Path, vectors: Float32, *, quantised: bool = False) -> None:
    """Make a shard whose graph has few edges."""
    database = open_edge(folder, LAZY)
    config = EdgeConfig(
        vectors=EdgeVectorParams(size=DIMENSION, distance=Distance.Cosine),
        hnsw_config=HnswIndexConfig(m=4, ef_construct=8, full_scan_threshold=1),
        quantization_config=ScalarQuantizationConfig(ScalarType.Int8) if quantised else None,
        optimizers=EdgeOptimizersConfig(indexing_threshold=1, default_segment_number=1),
    )
    shard = database._shards.create("docs", config)
    points = [Point(row, vector.tolist(), {}) for row, vector in enumerate(vectors)]
    shard.update(UpdateOperation.upsert_points(points))
    shard.optimize()
    assert shard.info().indexed_vectors_count == POINTS
    database.close()


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "quantised"])
def edge_folder(request, tmp_path_factory, vectors) -> Path:
    folder: Path = tmp_path_factory.mktemp("edge")
    make_edge(folder, vectors, quantised=request.param)
    return folder


def test_on_qdrants_engine_it_is_what_brute_force_says(edge_folder, vectors, queries):
    shares = []
    for ef in (LAZY, THOROUGH):
        database = open_edge(edge_folder, ef)
        found, recall = measure(open_target(database, "docs"), queries)
        database.close()
        assert recall.share == pytest.approx(count_found(found, vectors, queries))
        assert (recall.queries, recall.reference) == (QUERIES, "exact")
        for ids, scores, query in zip(found.ids, found.scores, queries, strict=True):
            np.testing.assert_allclose(scores, vectors[ids] @ query, atol=1e-5)
        shares.append(recall.share)
    assert shares[0] < 0.9 < shares[1]


@pytest.mark.parametrize("quantised", [False, True])
def test_on_a_qdrant_server_it_is_what_brute_force_says(qdrant_server, vectors, queries, quantised):
    client = open_client(qdrant_server)
    client.delete_collection("recall")
    client.create_collection(
        "recall",
        vectors_config=models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE),
        hnsw_config=models.HnswConfigDiff(m=4, ef_construct=8, full_scan_threshold=10),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1),
        quantization_config=(
            models.ScalarQuantization(
                scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)
            )
            if quantised
            else None
        ),
    )
    client.upload_collection("recall", vectors, ids=range(POINTS), wait=True)
    try:
        wait_until(lambda: client.get_collection("recall").indexed_vectors_count == POINTS)
        shares = []
        for ef in (LAZY, THOROUGH):
            database = connect("qdrant", {**qdrant_server, "hnsw_ef": ef})
            found, recall = measure(open_target(database, "recall"), queries)
            database.close()
            assert recall.share == pytest.approx(count_found(found, vectors, queries))
            shares.append(recall.share)
        assert shares[1] > 0.9
    finally:
        client.delete_collection("recall")
        client.close()


@pytest.mark.milvus_server
def test_on_milvus_a_wide_search_stands_for_an_exact_one(milvus_server_uri, vectors, queries):
    database = nudge_sync_milvus.connect({"uri": milvus_server_uri, "ef": LAZY})
    nudge_sync_milvus.ingest(database, "recall", range(POINTS), vectors, [{}] * POINTS)
    target = open_target(database, "recall")
    try:
        found, recall = measure(target, queries)
    finally:
        database.close()
        client = MilvusClient(milvus_server_uri, dedicated=True)
        client.drop_collection("recall")
        client.close()
    assert recall.reference == "wide"
    assert recall.share == pytest.approx(count_found(found, vectors, queries), abs=0.01)


SETTINGS = CollectionSettings(
    solver=SolverSettings(method="nudge-n", angle=0.8, cold_share="off", min_index_recall=0.99),
    gate=GateSettings(min_queries=5),
)


def test_the_plan_its_file_the_ledger_and_the_next_plan_tell_it(tmp_path, vectors):
    """Queries around a spot beside each answer, so that turning answers there helps.

    So far away that the gate sees it whatever edges the graph has: they differ each time."""
    random = np.random.default_rng(2)
    spots = normalise_rows(vectors[:20] + 1.6 * make_unit_rows(20, DIMENSION, 3))
    answers = random.integers(0, 20, 70)
    asked = normalise_rows(spots[answers] + 0.3 * make_unit_rows(70, DIMENSION, 4))
    make_edge(tmp_path / "db", vectors)
    database = open_edge(tmp_path / "db", LAZY)
    target = open_target(database, "docs")
    target.queries.put([to_search_record(Search(f"q{n}", row)) for n, row in enumerate(asked)])
    events = [Event(f"q{row}", "relevant", int(answer)) for row, answer in enumerate(answers)]
    target.events.put([to_event_record(event) for event in events])

    planned = cycle.plan(target, SETTINGS)
    told = planned.summary()["index_recall"]
    assert 0 < told["share"] < 0.99
    assert "solver.min_index_recall is 99%" in told["warning"]
    save_plan(planned, tmp_path / "plan")
    assert load_plan(tmp_path / "plan").figures.index_recall == planned.figures.index_recall

    report = cycle.apply(target, SETTINGS)
    assert report.outcome == "applied"
    told = json.loads(json.dumps(report.summary()["index_recall"]))
    entry = target.open_ledger().read_entry(report.revision)
    assert entry.summary()["plan"]["index_recall"] == told
    again = cycle.plan(target, SETTINGS)
    assert (len(again.rows), again.summary()["index_recall"]) == (0, told)
    database.close()
