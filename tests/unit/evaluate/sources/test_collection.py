"""A task from a collection asks what the gate asks: same gains, same weights, same figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.base.progress import ignore_progress
from nudge_sync.evaluate.methods import move_documents
from nudge_sync.evaluate.protocol import QuerySplit
from nudge_sync.evaluate.score import score_queries
from nudge_sync.evaluate.sources.collection import build_collection_task
from nudge_sync.evaluate.task import EvaluationTask
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.metrics import METRIC_NAMES
from nudge_sync.planning.held_out import HELD_OUT_SHARE, hash_queries
from nudge_sync.solve.problem import Similarity
from nudge_sync.solve.score import metric_values
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.judged_collection import (
    SETTINGS,
    JudgedCollection,
    build_plan_dataset,
    make_clicked_collection,
    make_labelled_collection,
)
from tests.support.sample_collection import make_synthetic_data

MAKERS = [make_labelled_collection, make_clicked_collection]


def build_task(judged: JudgedCollection, *, read_all: bool = False) -> EvaluationTask:
    return build_collection_task(
        judged.target, judged.judgements, read_all=read_all, exact=False, progress=ignore_progress
    )


def score_held_out(task: EvaluationTask) -> np.ndarray:
    """The baseline of the queries that the gate holds out: (q, metrics)."""
    scores = score_queries(task.documents, task.queries, task.judgements)
    return scores[hash_queries(task.queries) < HELD_OUT_SHARE]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("metric", ["cosine", "dot", "euclid"])
@pytest.mark.parametrize("read_all", [False, True])
def test_the_baseline_of_the_held_out_queries_is_the_gates(make, metric, read_all):
    judged = make(metric)
    dataset = build_plan_dataset(judged, min_queries=1)
    similarity: Similarity = "dot" if metric == "dot" else "cosine"

    baseline = score_held_out(build_task(judged, read_all=read_all))

    assert len(baseline) > 20
    for column, name in enumerate(METRIC_NAMES):
        expected = metric_values(
            dataset.points.originals, dataset.held_out_queries, name, similarity=similarity
        )
        np.testing.assert_allclose(baseline[:, column], expected, atol=1e-9)


@pytest.mark.parametrize("make", MAKERS)
def test_the_plans_figures_are_those_of_evaluate_before_and_after_a_cycle(make):
    judged = make()
    plan = cycle.plan(judged.target, SETTINGS)

    baseline = score_held_out(build_task(judged)).mean(axis=0)

    assert plan.figures.before == pytest.approx(
        dict(zip(METRIC_NAMES, baseline, strict=True)), abs=1e-6
    )
    assert cycle.apply(judged.target, SETTINGS).written > 20
    target = open_target(judged.target.database, "docs")
    again = score_held_out(build_task(replace(judged, target=target))).mean(axis=0)
    np.testing.assert_allclose(again, baseline, atol=1e-9)
    assert cycle.plan(target, SETTINGS).figures.originals == plan.figures.before


def test_an_unjudged_document_of_the_same_score_ranks_first_as_in_the_gate():
    """Vectors of which all scores are exact: elsewhere rounding decides between equal vectors."""
    rng = np.random.default_rng(0)
    signs = rng.choice([-0.5, 0.5], size=(200, 4))
    queries = np.zeros((200, 16), np.float32)
    for row, columns in enumerate(rng.permuted(np.tile(np.arange(16), (200, 1)), axis=1)[:, :4]):
        queries[row, columns] = signs[row]
    database = MemoryDatabase()
    database.store.create("docs", 16, "dot")
    database.store.upsert("docs", list(range(400)), np.concatenate([queries, queries]))
    target = open_target(database, "docs")
    target.queries.put([to_search_record(Search(f"q{row}", queries[row])) for row in range(200)])
    target.events.put([to_event_record(Event(f"q{row}", "relevant", row)) for row in range(200)])
    judgements = load_judgements(target, SETTINGS)
    judged = JudgedCollection(target, make_synthetic_data(), judgements)
    dataset = build_plan_dataset(judged, min_queries=1)

    baseline = score_held_out(build_task(judged))[:, METRIC_NAMES.index("mrr@10")]

    expected = metric_values(
        dataset.points.originals, dataset.held_out_queries, "mrr@10", similarity="dot"
    )
    assert baseline.tolist() == expected.tolist()
    assert baseline.max() <= 0.5


@pytest.mark.parametrize("make", MAKERS)
def test_training_takes_the_weights_that_the_solver_takes(make):
    judged = make()
    dataset = build_plan_dataset(judged, min_queries=1)
    task = build_task(judged)

    train = np.flatnonzero(hash_queries(task.queries) >= HELD_OUT_SHARE)

    ids = [str(point) for point in dataset.points.ids]
    relevance = dataset.train_queries.relevance
    if dataset.weights is None:
        assert task.weights is None
        attraction = relevance > 0
    else:
        attraction = dataset.weights.multiply(relevance > 0).tocsr()
        weights = [
            {task.document_ids[row]: weight for row, weight in entries.items()}
            for entries in task.select_weights(train)
        ]
        assert weights == [
            {ids[column]: row[0, column] for column in row.indices} for row in attraction
        ]
    attracted = [{task.document_ids[row] for row in rows} for rows in task.list_attracted(train)]
    assert attracted == [{ids[column] for column in row.indices} for row in attraction]


def test_a_document_that_is_too_doubtful_to_attract_stays_where_it_is_but_counts_in_rankings():
    task = build_task(make_clicked_collection())
    every_query = np.arange(len(task.queries))
    scored = {row for grades in task.judgements for row in grades}
    attracted = {row for rows in task.list_attracted(every_query) for row in rows}
    half = len(every_query) // 2
    split = QuerySplit(every_query[:half], every_query[half:], {})

    trained = move_documents(task, split, "auto", "ndcg@10", 0.3)

    assert attracted < scored
    assert set(trained.moved.tolist()) <= attracted
    assert len(trained.moved)


def test_points_that_were_moved_and_lost_their_feedback_rank_as_in_the_gate():
    judged = make_labelled_collection()
    cycle.apply(judged.target, SETTINGS)
    records = [record for batch in judged.target.events.scan() for record in batch]
    judged.target.events.delete(
        [record.key for record in records if record.document["object_id"] < 20]
    )
    target = open_target(judged.target.database, "docs")
    fewer = JudgedCollection(target, judged.data, load_judgements(target, SETTINGS))
    dataset = build_plan_dataset(fewer, min_queries=1)

    baseline = score_held_out(build_task(fewer))[:, METRIC_NAMES.index("ndcg@10")]

    expected = metric_values(dataset.points.originals, dataset.held_out_queries, "ndcg@10")
    assert len(fewer.judgements) < len(judged.judgements)
    np.testing.assert_allclose(baseline, expected, atol=1e-9)


def test_euclidean_vectors_of_another_length_are_noted():
    judged = make_labelled_collection("euclid")
    assert not any("another length" in note for note in build_task(judged).notes)

    judged.target.database.store.upsert("docs", [399], 3 * judged.data.vectors[399:])

    assert any("another length" in note for note in build_task(judged, read_all=True).notes)


def test_judgements_on_points_that_are_gone_are_noted():
    judged = make_labelled_collection()
    judged.target.database.store.delete("docs", [judged.data.answers[0]])

    task = build_task(judged)

    assert any("are gone or zero were left out" in note for note in task.notes)
    assert str(judged.data.answers[0]) not in task.document_ids
