"""The interval of the mean gain: each question is one observation, however often it was asked."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nudge_sync.planning.gate import confidence_interval


def test_the_interval_is_students() -> None:
    values = np.random.default_rng(0).normal(0.02, 0.3, 500)
    expected = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    assert confidence_interval(values, np.arange(500), 0.95) == pytest.approx(expected)
    assert confidence_interval(np.full(9, 0.25), np.arange(9), 0.95) == (0.25, 0.25)


def test_a_question_that_many_people_asked_is_one_observation() -> None:
    one = confidence_interval(np.full(60, 0.369), np.zeros(60, int), 0.95)
    assert one == (-1.0, 1.0)
    values = np.random.default_rng(0).normal(0.02, 0.3, 500)
    once = confidence_interval(values, np.arange(500), 0.95)
    thrice = confidence_interval(np.repeat(values, 3), np.repeat(np.arange(500), 3), 0.95)
    assert thrice == pytest.approx(once)


@pytest.mark.parametrize("zipf", [0.7, 1.0])
def test_the_interval_covers_the_mean_of_questions_that_some_ask_often(zipf: float) -> None:
    rng = np.random.default_rng(7)
    popularity = np.arange(1, 201) ** -zipf
    covered, covered_as_if_independent = 0, 0
    for _ in range(400):
        questions = rng.choice(200, 180, p=popularity / popularity.sum())
        gains = rng.normal(0.02, 0.3, 200)[questions]
        low, high = confidence_interval(gains, questions, 0.95)
        covered += low <= 0.02 <= high
        low, high = confidence_interval(gains, np.arange(180), 0.95)
        covered_as_if_independent += low <= 0.02 <= high
    assert covered / 400 >= 0.92
    assert covered_as_if_independent / 400 < 0.8


def ask_often(counts: list[int], question_count: int) -> np.ndarray:
    """Return question numbers: the first few asked `counts` times, each of the others once."""
    times = np.ones(question_count, int)
    times[: len(counts)] = counts
    return np.repeat(np.arange(question_count), times)


@pytest.mark.parametrize("question_count", [5, 10, 30, 60])
@pytest.mark.parametrize(
    "counts",
    [[20], [60], [200], [400], [200, 200], [200, 200, 200], [20 // (n + 1) + 1 for n in range(5)]],
    ids=str,
)
@pytest.mark.parametrize("is_popular_volatile", [False, True])
def test_a_plan_that_gains_nothing_is_accepted_no_more_often_than_promised(
    counts: list[int], question_count: int, is_popular_volatile: bool
) -> None:
    rng, draws = np.random.default_rng(11), 1500
    questions = ask_often(counts, question_count)
    deviations = np.full(question_count, 0.2)
    if is_popular_volatile:
        deviations[len(counts) :] = 0.02
    accepted = sum(
        confidence_interval(gains[questions], questions, 0.95)[0] > 0
        for gains in rng.normal(0, deviations, (draws, question_count))
    )
    # 2.5 % are promised, with a standard error of 0.4 %.
    assert accepted / draws <= 0.04


def test_the_interval_is_that_of_leaving_each_question_out() -> None:
    rng = np.random.default_rng(5)
    questions = rng.choice(40, 300, p=np.arange(1, 41) / 820)
    gains = rng.normal(0.02, 0.3, 300) + rng.normal(0, 0.2, 40)[questions]
    asked = np.unique(questions)
    left = np.array([gains[questions != question].mean() for question in asked])
    error = np.sqrt((len(asked) - 1) / len(asked) * ((left - gains.mean()) ** 2).sum())
    freedom = 1 / sum(np.mean(questions == question) ** 2 for question in asked) - 1
    expected = stats.t.interval(0.95, freedom, loc=gains.mean(), scale=error)
    assert confidence_interval(gains, questions, 0.95) == pytest.approx(expected)
