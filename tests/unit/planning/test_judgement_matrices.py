"""What rankings are scored by, and what attracts, from hand-made judgements."""

from __future__ import annotations

import numpy as np

from nudge_sync.feedback.judgements import ExpectedGains, Judgements
from nudge_sync.planning.judgement_matrices import build_judgement_matrices

VECTORS = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32)
POINTS = ["a", "b", "c", "zero"]


def make_judgements(weights: dict, gains: dict, *, only_labels: bool = False) -> Judgements:
    """(query row, point) -> weight, and -> expected gain."""
    return Judgements(
        query_ids=["q0", "q1"],
        query_vectors=np.eye(2, dtype=np.float32),
        query_rows=np.array([query for query, _ in weights], np.int64),
        point_ids=[point for _, point in weights],
        weights=np.array([*weights.values()], np.float64),
        funnel=[],
        expected_gains=ExpectedGains(
            query_rows=np.array([query for query, _ in gains], np.int64),
            point_ids=[point for _, point in gains],
            gains=np.array([*gains.values()], np.float64),
        ),
        only_labels=only_labels,
    )


def list_entries(matrix) -> dict:
    cells = matrix.tocoo()
    return {
        (int(row), POINTS[column]): float(value)
        for row, column, value in zip(cells.row, cells.col, cells.data, strict=True)
    }


def test_behaviour_is_scored_by_its_gain_also_where_it_is_too_doubtful_to_attract():
    judgements = make_judgements(
        {(0, "a"): 0.8, (1, "b"): 0.6}, {(0, "a"): 0.9, (0, "b"): 0.2, (1, "b"): 0.7}
    )

    matrices = build_judgement_matrices(judgements, POINTS, VECTORS)

    assert list_entries(matrices.relevance) == {(0, "a"): 0.9, (0, "b"): 0.2, (1, "b"): 0.7}
    assert list_entries(matrices.train_weights) == {(0, "a"): 0.8, (1, "b"): 0.6}
    assert not matrices.has_only_labels


def test_a_judgement_that_a_point_does_not_answer_is_an_explicit_entry_and_overrules_a_gain():
    judgements = make_judgements(
        {(0, "a"): 0.8, (0, "b"): -1.0, (1, "c"): 0.0},
        {(0, "a"): 0.9, (0, "b"): 0.2, (1, "a"): 0.3},
    )

    matrices = build_judgement_matrices(judgements, POINTS, VECTORS)

    assert list_entries(matrices.relevance) == {
        (0, "a"): 0.9,
        (0, "b"): -1.0,
        (1, "a"): 0.3,
        (1, "c"): 0.0,
    }
    assert matrices.train_weights.max() == 0.8
    assert matrices.train_weights.min() == 0


def test_labels_alone_attract_with_one_each():
    labels = {(0, "a"): 3.0, (1, "b"): 1.0}
    judgements = make_judgements(labels, labels, only_labels=True)

    matrices = build_judgement_matrices(judgements, POINTS, VECTORS)

    assert matrices.has_only_labels
    assert matrices.train_weights is None
    assert list_entries(matrices.relevance) == labels


def test_points_that_are_gone_or_without_direction_are_left_out_and_counted():
    labels = {(0, "a"): 1.0, (0, "gone"): 1.0, (1, "zero"): 1.0}

    matrices = build_judgement_matrices(make_judgements(labels, labels), POINTS, VECTORS)

    assert list_entries(matrices.relevance) == list_entries(matrices.weights) == {(0, "a"): 1.0}
    assert matrices.missing_count == 2
    assert matrices.relevance.shape == (2, 4)


def test_some_of_the_queries():
    labels = {(0, "a"): 1.0, (1, "b"): 2.0}

    matrices = build_judgement_matrices(make_judgements(labels, labels), POINTS, VECTORS)

    assert list_entries(matrices.select(np.array([False, True])).relevance) == {(0, "b"): 2.0}
