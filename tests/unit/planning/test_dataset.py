"""What a plan is made from: splits, weights, unjudged scores, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.base.progress import ignore_progress
from nudge_sync.errors import UnsupportedCollection
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.metrics import RANKING_DEPTH
from nudge_sync.planning.dataset import (
    PlanDataset,
    find_points_without_feedback,
    read_points_in_play,
    select_dataset_rows,
)
from nudge_sync.planning.held_out import HELD_OUT_SHARE, hash_queries
from nudge_sync.store.target import open_target
from tests.support.judged_collection import (
    SETTINGS,
    JudgedCollection,
    build_plan_dataset,
    make_clicked_collection,
    make_labelled_collection,
)


@pytest.fixture(scope="module")
def labelled() -> JudgedCollection:
    return make_labelled_collection()


@pytest.fixture(scope="module")
def dataset(labelled) -> PlanDataset:
    return build_plan_dataset(labelled)


def test_a_fifth_of_the_queries_is_held_out_and_the_rest_falls_into_tenths(labelled, dataset):
    hashes = hash_queries(labelled.judgements.query_vectors)
    is_held_out = hashes < HELD_OUT_SHARE

    vectors = labelled.judgements.query_vectors
    np.testing.assert_array_equal(dataset.held_out_queries.vectors, vectors[is_held_out])
    np.testing.assert_array_equal(dataset.train_queries.vectors, vectors[~is_held_out])
    expected = np.floor((hashes[~is_held_out] - 0.2) / 0.08).clip(0, 9)
    assert dataset.folds.tolist() == expected.tolist()


def test_unjudged_scores_are_those_of_a_scan(labelled, dataset):
    ids = np.array(dataset.points.ids)
    for queries in (dataset.train_queries, dataset.held_out_queries):
        scores = np.delete(queries.vectors @ labelled.data.vectors.T, ids, axis=1)
        expected = -np.sort(-scores, axis=1)[:, :RANKING_DEPTH]
        np.testing.assert_allclose(queries.unjudged, expected, atol=1e-6)


def test_bystanders_share_no_relevant_point_with_a_training_query(dataset):
    train = dataset.train_queries.relevance.tocoo()
    trained = set(train.col[train.data > 0].tolist())
    for row, is_bystander in enumerate(dataset.bystanders):
        relevance = dataset.held_out_queries.relevance[row]
        relevant = set(relevance.indices[relevance.data > 0].tolist())
        assert is_bystander == (not relevant & trained)


def test_labels_need_no_weights_and_clicks_bring_their_own(dataset):
    clicked = build_plan_dataset(make_clicked_collection())

    assert dataset.weights is None
    assert clicked.weights.shape == clicked.train_queries.relevance.shape
    assert clicked.weights.min() >= 0
    assert 0 < clicked.is_judged.sum() < len(clicked.is_judged)
    assert dataset.excluded_counts == {}


def test_live_scores_are_those_of_the_vectors_where_the_index_is_exact(labelled, dataset):
    plan = cycle.plan(labelled.target, SETTINGS)

    assert dataset.live_scores == pytest.approx(plan.figures.before, abs=1e-6)


def test_what_is_left_out_is_counted():
    judged = make_labelled_collection()
    gone = judged.data.answers[0]
    judged.target.database.store.delete("docs", [gone])

    dataset = build_plan_dataset(judged)

    unanswered = judged.data.answers[:300].count(gone)
    assert dataset.excluded_counts == {
        "judgements on points that are gone or zero": unanswered,
        "queries without a usable answer": unanswered,
    }
    assert len(dataset.train_queries) + len(dataset.held_out_queries) == 300 - unanswered


def test_points_that_were_moved_and_lost_their_feedback_are_known(labelled):
    judged = make_labelled_collection()
    cycle.apply(judged.target, SETTINGS)
    target = open_target(judged.target.database, "docs")
    assert find_points_without_feedback(target, judged.judgements) == []

    other = JudgedCollection(target, judged.data, _keep_answers_from(judged, 20))

    assert find_points_without_feedback(target, other.judgements) == sorted(range(20), key=str)
    rows = select_dataset_rows(
        target, other.judgements, read_points_in_play(target, other.judgements, ignore_progress)
    )
    assert len(rows) > len({*other.judgements.point_ids})


def _keep_answers_from(judged: JudgedCollection, first: int):
    target = judged.target
    records = [record for batch in target.events.scan() for record in batch]
    target.events.delete([record.key for record in records if record.document["object_id"] < first])
    return load_judgements(target, SETTINGS)


@pytest.mark.parametrize(
    ("metric", "vector", "words"),
    [
        ("dot", np.full(32, np.inf, np.float32), "NaN or infinity"),
        ("euclid", np.ones(32, np.float32), "not of unit length"),
    ],
)
def test_vectors_that_cannot_be_moved_are_refused(metric, vector, words):
    judged = make_labelled_collection(metric)
    judged.target.database.store.upsert("docs", [judged.data.answers[0]], vector[None])

    with pytest.raises(UnsupportedCollection, match=words):
        build_plan_dataset(judged)
