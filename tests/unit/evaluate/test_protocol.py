"""Splits are disjoint, reproducible, and keep together what belongs together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_sync.errors import InputError
from nudge_sync.evaluate.protocol import (
    OTHER_CLUSTER_PART,
    SAME_CLUSTER_PART,
    group_by_answers,
    split_by_answers,
    split_by_cluster,
    split_task,
)
from nudge_sync.evaluate.split import TEST_PART, QuerySplit, split_randomly
from nudge_sync.evaluate.task import EvaluationTask


def list_rows(parts: QuerySplit) -> list[int]:
    return [
        int(row) for rows in (parts.train, parts.validation, *parts.tests.values()) for row in rows
    ]


def test_random_split_is_the_papers():
    parts = split_randomly(np.arange(225), seed=3)
    order = np.random.default_rng(3).permutation(225)

    assert parts.train.tolist() == order[:157].tolist()
    assert parts.validation.tolist() == order[157:180].tolist()
    assert parts.tests[TEST_PART].tolist() == order[180:].tolist()


@settings(deadline=None)
@given(st.integers(10, 5000), st.integers(0, 100))
def test_random_split_uses_every_query_once(queries, seed):
    assert sorted(list_rows(split_randomly(np.arange(queries), seed))) == list(range(queries))


@settings(deadline=None)
@given(st.integers(10, 300), st.integers(0, 2**32), st.integers(0, 100))
def test_a_question_that_many_ask_is_on_one_side_of_every_split(count, draw, seed):
    rng = np.random.default_rng(draw)
    often = rng.choice(
        count,
        rng.integers(0, 500),
        p=np.arange(1, count + 1) ** -1.5 / (np.arange(1, count + 1) ** -1.5).sum(),
    )
    questions = rng.permutation(np.concatenate([np.arange(count), often]))

    parts = split_randomly(questions, seed)

    sides = [
        {*questions[rows].tolist()}
        for rows in (parts.train, parts.validation, parts.tests[TEST_PART])
    ]
    assert [len(side) for side in sides] == [
        int(0.7 * count),
        int(0.8 * count) - int(0.7 * count),
        count - int(0.8 * count),
    ]
    assert len(set().union(*sides)) == count
    assert sorted(list_rows(parts)) == list(range(len(questions)))


def test_too_few_questions_are_refused_however_many_ask_them():
    with pytest.raises(InputError, match="3 different questions"):
        split_randomly(np.arange(120) % 3, seed=0)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 20))
def test_grouped_split_keeps_a_question_together_whatever_answers_it(draw, seed):
    rng = np.random.default_rng(draw)
    answers = [[int(row)] for row in rng.integers(0, 100, 200)]
    questions = rng.integers(0, 190, 200)
    try:
        parts = split_by_answers(answers, questions, seed)
    except InputError:
        return
    side = np.empty(200, int)
    for number, rows in enumerate((parts.train, parts.validation, parts.tests[TEST_PART])):
        side[rows] = number
    for group in (questions, np.array(answers)[:, 0]):
        assert all(len({*side[group == one].tolist()}) == 1 for one in np.unique(group))


def test_held_out_parts_are_limited_as_in_the_paper():
    parts = split_randomly(np.arange(200_000), seed=0)

    assert len(parts.train) == 140_000
    assert len(parts.validation) == 10_000
    assert len(parts.tests[TEST_PART]) == 10_000


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(0, 20))
def test_grouped_split_never_separates_twins(draw, documents, seed):
    rng = np.random.default_rng(draw)
    answers = [
        frozenset(rng.integers(0, documents, rng.integers(1, 4)).tolist()) for _ in range(120)
    ]
    try:
        parts = split_by_answers(answers, np.arange(len(answers)), seed)
    except InputError:
        return
    sides = [
        {answers[row] for row in rows}
        for rows in (parts.train, parts.validation, parts.tests[TEST_PART])
    ]
    assert sum(map(len, sides)) == len(set().union(*sides))
    assert sorted(list_rows(parts)) == list(range(len(answers)))


def test_grouped_split_comes_close_to_the_shares():
    rng = np.random.default_rng(0)
    answers = [[int(row)] for row in rng.integers(0, 400, size=2000)]

    parts = split_by_answers(answers, np.arange(2000), seed=0)

    assert len(parts.train) == pytest.approx(1400, abs=20)
    assert len(parts.validation) == pytest.approx(200, abs=20)


def test_grouped_split_says_when_there_are_too_few_groups():
    with pytest.raises(InputError, match="2 groups"):
        split_by_answers([[0]] * 50 + [[1]] * 50, np.arange(100), seed=0)


def test_queries_with_the_same_answers_in_any_order_are_one_group():
    assert group_by_answers([[0], [5, 0], [0], [0, 5]]).tolist() == [0, 1, 0, 1]


def make_two_clusters(sizes: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(1)
    centres = np.eye(8)[:2]
    clouds = [
        centre + 0.02 * rng.normal(size=(size, 8))
        for centre, size in zip(centres, sizes, strict=True)
    ]
    return np.concatenate(clouds).astype(np.float32)


@pytest.mark.parametrize(("seed", "trained"), [(0, 0), (1, 1), (2, 0)])
def test_cluster_split_trains_on_one_cluster_alone(seed, trained):
    cloud = np.repeat([0, 1], [120, 60])

    parts = split_by_cluster(make_two_clusters((120, 60)), np.arange(180), seed)

    inside = np.concatenate([parts.train, parts.validation, parts.tests[SAME_CLUSTER_PART]])
    assert set(cloud[inside]) == {trained}
    assert set(cloud[parts.tests[OTHER_CLUSTER_PART]]) == {1 - trained}
    assert sorted(list_rows(parts)) == list(range(180))


def test_cluster_split_is_reproducible():
    queries = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)

    assert list_rows(split_by_cluster(queries, np.arange(300), 4)) == list_rows(
        split_by_cluster(queries, np.arange(300), 4)
    )


def test_cluster_split_refuses_a_cluster_too_small_to_split():
    with pytest.raises(InputError, match="too few"):
        split_by_cluster(make_two_clusters((120, 3)), np.arange(123), 0)


def test_a_handful_of_queries_is_no_evaluation():
    vectors = np.eye(4, dtype=np.float32)
    names = ["0", "1", "2", "3"]
    task = EvaluationTask("few", vectors, vectors, [{row: 1.0} for row in range(4)], names, names)

    with pytest.raises(InputError, match="few: 4 judged queries"):
        split_task(task, "random", 0)
