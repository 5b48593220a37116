"""The click model: its fit on simulated clicks, and each step against brute force."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from nudge_sync.feedback.clicks.bias.click_model import (
    ClickModel,
    compute_model_log_likelihood,
    compute_relevance_posterior,
)
from nudge_sync.feedback.clicks.bias.pbm import (
    compute_expectations,
    fit_click_model,
    maximise_likelihood,
)
from nudge_sync.feedback.clicks.impressions.counts import Impressions
from nudge_sync.feedback.clicks.impressions.pairs import Pairs, group_by_pair
from nudge_sync.feedback.clicks.impressions.single import DISTANCE_CLASS_COUNT, MAX_RANK
from tests.support.simulated_clicks import collect_from_lists, simulate_impressions

MODEL = ClickModel(
    examination=1 / np.maximum(np.arange(MAX_RANK + 1), 1),
    persistence=np.linspace(1.0, 0.4, DISTANCE_CLASS_COUNT),
    attractiveness_relevant=0.7,
    attractiveness_irrelevant=np.linspace(0.4, 0.1, MAX_RANK + 1),
    prior=np.linspace(0.6, 0.1, MAX_RANK + 1),
)


def test_the_fit_finds_examination_attractiveness_and_relevance():
    impressions, is_relevant = simulate_impressions()
    pairs = group_by_pair(impressions)
    model = fit_click_model(impressions, pairs)
    assert model.attractiveness_relevant == pytest.approx(0.8, abs=0.05)
    np.testing.assert_allclose(model.attractiveness_irrelevant[1:6], 0.1, atol=0.04)
    np.testing.assert_allclose(model.examination[1:6], 1 / np.arange(1, 6), atol=0.04)
    relevance = compute_relevance_posterior(impressions, pairs, model)
    assert ((relevance > 0.5) == is_relevant).mean() > 0.93
    assert relevance[is_relevant].mean() == pytest.approx(
        relevance[relevance > 0.5].mean(), abs=0.15
    )


def test_the_prior_never_increases_with_the_rank():
    impressions, _ = simulate_impressions(seed=1)
    prior = fit_click_model(impressions, group_by_pair(impressions)).prior
    assert (np.diff(prior[1:]) <= 0).all()


def test_with_few_searches_what_is_rarely_looked_at_is_not_taken_for_relevant():
    rng = np.random.default_rng(0)
    ranks = np.arange(1, 21)
    is_relevant = np.repeat(rng.random((2000, 20)) < 0.5 / ranks**1.5, 5, axis=0)
    clicked = rng.random(is_relevant.shape) < np.where(is_relevant, 0.9, 0.1) / ranks
    impressions = collect_from_lists(np.repeat(np.arange(2000), 5), clicked)
    model = fit_click_model(impressions, group_by_pair(impressions))
    assert model.prior[10] < 0.06  # 0.016 is true; from a level prior EM ends at 0.3.
    np.testing.assert_allclose(model.examination[1:11], 1 / ranks[:10], atol=0.08)


def test_the_fit_finds_that_what_stands_on_top_is_clicked_whatever_it_is():
    rng = np.random.default_rng(4)
    ranks = np.arange(1, 9)
    is_relevant = np.repeat(rng.random((400, 8)) < 0.3, 20, axis=0)
    attraction = np.where(is_relevant, 0.9, 0.1 + 0.4 / ranks)
    clicked = rng.random(is_relevant.shape) < attraction / ranks
    impressions = collect_from_lists(np.repeat(np.arange(400), 20), clicked)
    pairs = group_by_pair(impressions)
    model = fit_click_model(impressions, pairs)
    found = model.attractiveness_irrelevant[1:9]
    np.testing.assert_allclose(found, 0.1 + 0.4 / ranks, atol=0.05)
    assert (np.diff(found) <= 0).all()
    assert model.attractiveness_relevant == pytest.approx(0.9, abs=0.05)


def test_the_e_step_is_what_summing_over_all_hidden_states_gives():
    single_impressions = [  # query group 0, point 5: (rank, distance class, clicked), one row each
        (1, 0, 1.0),
        (2, 0, 0.0),
        (2, 1, 0.0),
        (3, 2, 1.0),
    ]
    rank, distance, clicked = (np.array(column) for column in zip(*single_impressions, strict=True))
    zeros, ones = np.zeros(4, np.int64), np.ones(4)
    impressions = Impressions(zeros, zeros + 5, rank, distance, ones, clicked, 0 * ones)
    pairs = Pairs(zeros, zeros[:1], zeros[:1] + 5, np.array([2]))
    total, relevant = 0.0, 0.0
    examined, looked, continued = np.zeros((2, 4)), np.zeros(4), np.zeros(4)
    for z, *hidden in product((0, 1), repeat=9):
        looks, goes_on = np.array(hidden[:4]), np.array(hidden[4:])
        chance = MODEL.prior[2] if z else 1 - MODEL.prior[2]
        for (r, d, c), is_looked_at, is_reached in zip(
            single_impressions, looks, goes_on, strict=True
        ):
            theta, phi = MODEL.examination[r], MODEL.persistence[d]
            attractiveness = (MODEL.attractiveness_irrelevant[r], MODEL.attractiveness_relevant)[z]
            clicks = attractiveness * is_looked_at * is_reached
            chance *= theta if is_looked_at else 1 - theta
            chance *= phi if is_reached else 1 - phi
            chance *= clicks if c else 1 - clicks
        total += chance
        relevant += chance * z
        examined[z] += chance * looks * goes_on
        looked += chance * looks
        continued += chance * goes_on
    assert compute_model_log_likelihood(impressions, pairs, MODEL) == pytest.approx(np.log(total))
    expectations = compute_expectations(impressions, pairs, MODEL)
    np.testing.assert_allclose(expectations.relevance, [relevant / total])
    np.testing.assert_allclose(expectations.examined_relevant, examined[1] / total)
    np.testing.assert_allclose(expectations.examined_irrelevant, examined[0] / total)
    np.testing.assert_allclose(expectations.looked, looked / total)
    np.testing.assert_allclose(expectations.continued, continued / total)


def test_each_em_step_makes_the_clicks_likelier():
    impressions, _ = simulate_impressions(seed=2)
    distance_class = np.random.default_rng(0).integers(0, 4, len(impressions))
    impressions = replace(
        impressions, distance_class=np.minimum(distance_class, impressions.rank - 1)
    )
    pairs = group_by_pair(impressions)
    model, likelihoods = MODEL, []
    for _ in range(8):
        likelihoods.append(compute_model_log_likelihood(impressions, pairs, model))
        expectations = compute_expectations(impressions, pairs, model)
        model = maximise_likelihood(impressions, pairs, expectations, smoothing=1e-9)
    assert (np.diff(likelihoods) > 0).all()


def test_without_impressions_the_default_model_comes_back():
    impressions, _ = simulate_impressions(groups=2)
    nothing = impressions.select(np.zeros(len(impressions), np.bool_))
    model = fit_click_model(nothing, group_by_pair(nothing))
    assert model.attractiveness_relevant == pytest.approx(0.8)
    np.testing.assert_array_equal(model.examination, np.ones(MAX_RANK + 1))


@pytest.mark.parametrize("chance_to_go_on", [0.0, 0.4, 1.0])
def test_the_fit_finds_who_stops_after_a_click(chance_to_go_on):
    """People read down to a click and then go on or not, once and for all."""
    rng = np.random.default_rng(3)
    is_relevant = np.repeat(rng.random((200, 6)) < 0.3, 40, axis=0)
    attracted = rng.random(is_relevant.shape) < np.where(is_relevant, 0.8, 0.1)
    stops = attracted & (rng.random(is_relevant.shape) >= chance_to_go_on)
    clicked = attracted & (np.cumsum(stops, axis=1) - stops == 0)
    impressions = collect_from_lists(np.repeat(np.arange(200), 40), clicked)
    pairs = group_by_pair(impressions)
    model = fit_click_model(impressions, pairs)
    assert model.persistence[1] == pytest.approx(chance_to_go_on, abs=0.06)
    np.testing.assert_allclose(model.examination[1:7], 1, atol=0.12)
    assert model.attractiveness_relevant == pytest.approx(0.8, abs=0.04)
