"""Which queries attracted a point, by the weights and the gains that a plan is made by."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.base.progress import ignore_progress
from nudge_sync.errors import InputError
from nudge_sync.evaluate.inspection.explain_point import explain_point, explanation_to_dict
from nudge_sync.planning.held_out import HELD_OUT_SHARE, hash_queries
from nudge_sync.planning.judgement_matrices import build_judgement_matrices
from tests.support.judged_collection import (
    SETTINGS,
    JudgedCollection,
    make_clicked_collection,
    make_labelled_collection,
)


def explain(judged: JudgedCollection, point: int, depth: int = 10):
    return explain_point(
        judged.target,
        judged.judgements,
        judged.target.queries,
        point,
        depth=depth,
        progress=ignore_progress,
    )


@pytest.fixture(scope="module")
def clicked() -> JudgedCollection:
    judged = make_clicked_collection()
    cycle.apply(judged.target, SETTINGS)
    return judged


def build_column(judged: JudgedCollection, point: int):
    return build_judgement_matrices(
        judged.judgements, [point], judged.data.vectors[point : point + 1]
    )


def list_points(judged: JudgedCollection) -> list[int]:
    return sorted(set(judged.judgements.point_ids))


def test_shares_are_those_of_the_weights_that_the_solver_takes(clicked):
    uneven = 0
    for point in list_points(clicked):
        matrices = build_column(clicked, point)
        is_train = hash_queries(clicked.judgements.query_vectors) >= HELD_OUT_SHARE
        weights = matrices.train_weights.toarray().ravel() * is_train
        expected = {
            clicked.judgements.query_ids[row]: weights[row] / weights.sum()
            for row in np.flatnonzero(weights)
        }

        found = explanation_to_dict(clicked.target, explain(clicked, point))

        shares = {entry["query_id"]: entry["share"] for entry in found["pulls"]}
        assert shares == pytest.approx(expected)
        uneven += len({round(share, 6) for share in shares.values()}) > 1
    assert uneven


def test_a_result_that_is_too_doubtful_to_attract_is_relevant_and_no_pull(clicked):
    expected = clicked.judgements.expected_gains
    judged_pairs = set(
        zip(clicked.judgements.query_rows.tolist(), clicked.judgements.point_ids, strict=True)
    )
    doubtful = {
        (query, point)
        for query, point in zip(expected.query_rows.tolist(), expected.point_ids, strict=True)
        if (query, point) not in judged_pairs
    }
    changes = 0
    for point in sorted({point for _, point in doubtful}):
        found = explanation_to_dict(clicked.target, explain(clicked, point, depth=3))
        names = {clicked.judgements.query_ids[query] for query, row in doubtful if row == point}
        assert not names & {entry["query_id"] for entry in found["pulls"]}
        relevance = build_column(clicked, point).relevance.toarray().ravel()
        relevant = {clicked.judgements.query_ids[row] for row in np.flatnonzero(relevance > 0)}
        for entry in found["wins"] + found["loses"]:
            assert entry["relevant"] == (entry["query_id"] in relevant)
            changes += entry["query_id"] in names
    assert doubtful
    assert changes


def test_labels_pull_alike_and_held_out_queries_not_at_all():
    judged = make_labelled_collection()
    cycle.apply(judged.target, SETTINGS)
    pairs = zip(
        judged.judgements.query_rows.tolist(),
        judged.judgements.point_ids,
        judged.judgements.weights.tolist(),
        strict=True,
    )
    answered = [query for query, point, weight in pairs if point == 3 and weight > 0]
    held_out = hash_queries(judged.judgements.query_vectors[answered]) < HELD_OUT_SHARE

    explanation = explain(judged, 3)

    assert explanation.judging_count == len(answered)
    assert explanation.held_out_count == held_out.sum()
    shares = {entry.share for entry in explanation.explanation.pulls}
    assert len(explanation.explanation.pulls) == len(answered) - held_out.sum()
    assert shares == {1 / len(explanation.explanation.pulls)}
    assert explanation.ownership == "written"


def test_a_point_that_is_judged_not_to_answer_has_judges_and_no_pulls():
    judged = make_labelled_collection()

    explanation = explain(judged, 120)

    assert explanation.judging_count == 6
    assert explanation.explanation.pulls == []
    assert not explanation.explanation.moved


def test_a_point_that_feedback_never_touched_and_one_that_is_not_there():
    judged = make_labelled_collection()

    explanation = explain(judged, 399)

    assert (explanation.ownership, explanation.judging_count) == ("unjudged", 0)
    with pytest.raises(InputError, match="no point 4711"):
        explain(judged, 4711)
