"""An arm's lists, compared with the engine's own exact search once it holds the arm's vectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from nudge_sync import Experiment, cycle
from nudge_sync.connector import Hits, Metric
from nudge_sync.store.experiments.running import start_experiment
from tests.support.applications import create_application
from tests.support.collection_fixtures import find_server
from tests.support.experiments.filtered_search import make_filter, wait_until_visible
from tests.support.experiments.sample_experiment import start_canary, turn_vectors
from tests.support.sample_collection import (
    POINTS,
    SETTINGS,
    SampleCollection,
    SyntheticData,
    make_synthetic_data,
    open_sample_collection,
)

K, QUERIES = 10, 25
MOVED = [*range(50), *range(380, 400)]
PASSING = range(150)
"""Ids that pass the filter of the tests."""
METRICS: tuple[Metric, ...] = ("cosine", "dot", "euclid")
ENGINES = (
    "memory",
    "qdrant-edge",
    "qdrant-local",
    "qdrant",
    "milvus-lite",
    pytest.param("milvus", marks=pytest.mark.milvus_server),
)


@contextmanager
def open_collection(engine: str, metric: Metric, folder: Path, server: Any) -> Iterator[Any]:
    """Open a collection whose vectors differ in length unless it is by cosine."""
    data = make_synthetic_data()
    lengths = np.random.default_rng(1).uniform(0.5, 1.5, size=(POINTS, 1)).astype(np.float32)
    vectors = data.vectors if metric == "cosine" else data.vectors * lengths
    application = create_application(engine, folder, server)
    database = application.connect()
    try:
        application.fill(database, vectors, metric)
        data = SyntheticData(vectors, data.queries, data.answers)
        sample = SampleCollection(engine, database, data, application.connect, application)
        wait_until_visible(sample)
        yield sample
    finally:
        database.close()


def search_with_client(sample: SampleCollection, query: Any, limit: int) -> list[Any]:
    """Return what the database's own client answers, in its own form."""
    if sample.engine == "qdrant-edge":
        hits = sample.database.collection("docs").search(query[None], limit, exact=True)
        return list(zip(hits.ids[0], hits.scores[0].tolist(), strict=True))
    if sample.engine.startswith("qdrant"):
        client = sample.database.connection.client
        return client.query_points("docs", query=query.tolist(), limit=limit).points
    if sample.engine.startswith("milvus"):
        client = MilvusClient(sample.application.uri, dedicated=True)
        try:
            return client.search("docs", [query.tolist()], limit=limit)[0]
        finally:
            client.close()
    hits = sample.database.collection("docs").search(query[None], limit)
    return list(zip(hits.ids[0], hits.scores[0].tolist(), strict=True))


def count_differences(found: list[list[Any]], expected: Hits, deeper: Hits) -> int:
    """Return at how many ranks another point stands, points with the same score apart."""
    differences = 0
    for ids, wanted, scores, all_ids, all_scores in zip(
        found, expected.ids, expected.scores, deeper.ids, deeper.scores, strict=True
    ):
        score_by_id = dict(zip(all_ids, all_scores, strict=True))
        assert len(ids) == len(wanted)
        differences += sum(
            id_ != other and not abs(score_by_id.get(id_, -np.inf) - score) < 2e-6
            for id_, other, score in zip(ids, wanted, scores, strict=True)
        )
    return differences


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("engine", ENGINES)
def test_no_rank_differs_from_a_collection_that_holds_the_vectors(
    engine, metric, tmp_path, request
):
    server = find_server(request, engine)
    with open_collection(engine, metric, tmp_path, server) as sample:
        filter_ = make_filter(sample, PASSING)
        arm_vectors = turn_vectors(sample.data.vectors[MOVED])
        if metric != "cosine":
            arm_vectors *= np.linalg.norm(sample.data.vectors[MOVED], axis=1, keepdims=True)
        start_canary(sample.target(), MOVED, arm_vectors)
        queries = sample.data.queries[:QUERIES]
        with Experiment(sample.database, "docs", deadline=30.0) as experiment:
            assert experiment.wait_until_ready(30)
            searched = [experiment.search(query, K, session="s1") for query in queries]
            filtered = [
                experiment.search(query, K, session="s1", filter=filter_) for query in queries
            ]
            ranked = [
                experiment.rank(
                    query,
                    search_with_client(sample, query, experiment.depth(K, session="s1")),
                    K,
                    session="s1",
                    more=lambda limit, query=query: search_with_client(sample, query, limit),
                )
                for query in queries
            ]
        assert {(each.arm, each.fallback) for each in [*searched, *filtered, *ranked]} == {
            ("treatment", "")
        }
        collection = sample.database.collection("docs")
        before = collection.search(queries, K, exact=True)
        sample.upsert(MOVED, arm_vectors)
        everything = collection.search(queries, POINTS, exact=True)
        expected = collection.search(queries, K, exact=True)
        assert count_differences([each.ids for each in searched], expected, everything) == 0
        assert count_differences([each.ids for each in ranked], expected, everything) == 0
        passing = keep_passing(everything)
        assert count_differences([each.ids for each in filtered], passing, everything) == 0
        assert count_changes(before, expected) > QUERIES


def keep_passing(hits: Hits) -> Hits:
    kept = Hits([], [])
    for ids, scores in zip(hits.ids, hits.scores, strict=True):
        rows = [row for row, id_ in enumerate(ids) if id_ in PASSING][:K]
        kept.ids.append([ids[row] for row in rows])
        kept.scores.append(scores[rows])
    return kept


def count_changes(before: Hits, after: Hits) -> int:
    """Return at how many ranks another point stands."""
    pairs = zip(before.ids, after.ids, strict=True)
    return sum(a != b for old, new in pairs for a, b in zip(old, new, strict=True))


@pytest.mark.parametrize("engine", ["memory", "qdrant-edge"])
def test_a_holdback_finds_what_the_collection_found_before_it_was_nudged(engine, tmp_path):
    with open_sample_collection(engine, tmp_path) as sample:
        queries = sample.data.queries[:QUERIES]
        collection = sample.database.collection("docs")
        before = collection.search(queries, K, exact=True)
        all_before = collection.search(queries, POINTS, exact=True)
        sample.add_judgements()
        assert cycle.apply(sample.target(), SETTINGS).outcome == "applied"
        after = collection.search(queries, K, exact=True)
        assert before.ids != after.ids
        start_experiment(sample.target(), "holdback", 1, 1.0)
        with Experiment(sample.database, "docs", deadline=30.0) as experiment:
            assert experiment.wait_until_ready(30)
            ranked = [experiment.search(query, K, session="s1") for query in queries]
        assert {each.arm for each in ranked} == {"control"}
        assert count_differences([each.ids for each in ranked], before, all_before) == 0
