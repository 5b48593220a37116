"""Assignment by a keyed hash: even, stable, and another with another key."""

from itertools import islice

import numpy as np
import pytest

from nudge_sync.experiment.assign import draw, is_chosen, toss_coins

KEY, OTHER_KEY = "0" * 32, "f" * 32
UNITS = [f"session-{number}" for number in range(4000)]
QUERY = np.arange(4, dtype=np.float32)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
def test_the_share_of_units_is_chosen(share):
    chosen = sum(is_chosen(KEY, unit, share) for unit in UNITS)
    # Four standard deviations of a binomial.
    assert abs(chosen - share * len(UNITS)) < 4 * (share * (1 - share) * len(UNITS)) ** 0.5


def test_everybody_is_chosen_by_a_share_of_one():
    assert all(is_chosen(KEY, unit, 1.0) for unit in UNITS)


def test_a_larger_share_keeps_those_of_a_smaller_one():
    assert all(is_chosen(KEY, unit, 0.2) for unit in UNITS if is_chosen(KEY, unit, 0.1))


def test_another_key_draws_others():
    first = np.array([draw(KEY, unit) for unit in UNITS])
    second = np.array([draw(OTHER_KEY, unit) for unit in UNITS])
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.08


def test_half_of_a_surrogate_pair_is_a_unit_too():
    assert 0 <= draw(KEY, "\ud800") < 1


def test_the_same_question_by_the_same_person_gets_the_same_coins():
    first = list(islice(toss_coins(KEY, "s1", QUERY), 200))
    assert first == list(islice(toss_coins(KEY, "s1", QUERY.copy()), 200))
    assert first != list(islice(toss_coins(KEY, "s2", QUERY), 200))
    assert first != list(islice(toss_coins(KEY, "s1", QUERY + 1), 200))
    assert 60 < sum(first) < 140


def test_first_coins_are_fair_over_people():
    heads = sum(next(toss_coins(KEY, unit, QUERY)) for unit in UNITS)
    assert abs(heads - len(UNITS) / 2) < 4 * (len(UNITS) / 4) ** 0.5
