"""Warm and cold answers are weighed by their share, and errors are those of repeated draws."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from nudge_sync.solve.fit import DEFAULT_MAX_ANGLE, build_task
from nudge_sync.solve.selection.document_folds import hide_documents
from nudge_sync.solve.selection.strata import Strata, build_strata, report_cold
from nudge_sync.solve.task import build_splits
from tests.support.solver_problems import make_learnable_problem


def make_strata(warm, cold, cold_share, cluster=None):
    is_cold = np.arange(warm + cold) >= warm
    cluster = np.arange(warm + cold) if cluster is None else cluster
    return Strata(is_cold, cluster, cold_share)


@pytest.mark.parametrize("cold_share", [0.0, 0.3, 1.0])
def test_the_mean_weighs_both_kinds_by_their_share(cold_share):
    values = np.random.default_rng(0).normal(size=50)
    strata = make_strata(40, 10, cold_share)
    expected = (1 - cold_share) * values[:40].mean() + cold_share * values[40:].mean()
    assert strata.average(values) == pytest.approx(expected)
    assert strata.average_cold(values) == pytest.approx(values[40:].mean())
    assert strata.get_weights().mean() == pytest.approx(1)


def test_with_one_kind_it_is_the_plain_mean_and_its_standard_error():
    values = np.random.default_rng(0).normal(size=50)
    strata = make_strata(50, 0, 0.7)
    assert strata.average(values) == values.mean()
    assert strata.estimate_error(values) == pytest.approx(values.std(ddof=1) / np.sqrt(50))
    assert strata.average_cold(values) == 0


def test_the_standard_error_is_that_of_repeated_draws():
    random = np.random.default_rng(0)
    strata = make_strata(60, 20, 0.4, cluster=np.repeat(np.arange(40), 2))
    shared = random.normal(size=(4000, 40)).repeat(2, axis=1)
    draws = shared + 0.5 * random.normal(size=(4000, 80))
    means = [strata.average(one) for one in draws]
    errors = [strata.estimate_error(one) for one in draws]
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.05)


def test_values_of_one_cluster_are_no_evidence():
    values = np.ones(30) + np.random.default_rng(0).normal(size=30) / 10
    alone = make_strata(30, 0, 0.0, cluster=np.zeros(30, int))
    assert make_strata(30, 0, 0.0).is_ahead(values, np.zeros(30), 1.0)
    assert not alone.is_ahead(values, np.zeros(30), 1.0)


def test_intervals_hold_the_truth_as_often_as_they_say():
    random, strata, hits = np.random.default_rng(0), make_strata(30, 12, 0.5), 0
    for _ in range(1500):
        report = report_cold(strata, random.normal(size=42) + 2, np.full(42, 2.0))
        hits += report.cold.low <= 0 <= report.cold.high
        assert report.warm.queries == 30
    assert 0.93 < hits / 1500 < 0.97


def test_an_interval_of_one_value_is_all_that_a_gain_can_be():
    report = report_cold(make_strata(2, 1, 0.5), np.array([0.1, 0.2, 0.3]), np.zeros(3))
    assert report.cold.mean == 0.3
    assert (report.cold.low, report.cold.high) == (-1, 1)
    assert -1 <= report.warm.low < report.warm.high <= 1
    json.loads(json.dumps(asdict(report), allow_nan=False))


def test_cold_values_are_marked_where_they_are_measured():
    points, queries, buckets = make_learnable_problem()
    task = build_task(points, queries, None, "ndcg@10", "cosine", DEFAULT_MAX_ANGLE, 0.5)
    splits = build_splits(buckets, queries.relevance)
    assert not build_strata(task, splits).is_cold.any()
    hidden = hide_documents(task, splits)
    strata = build_strata(task, hidden)
    assert strata.is_cold.sum() == sum(one.cold_validation.sum() for one in hidden)
    assert len(np.unique(strata.cluster)) == len(points)


@pytest.mark.parametrize(("cold_share", "cold_count"), [(0.0, 1), (1.0, 59)])
def test_a_single_cluster_without_weight_adds_no_error(cold_share, cold_count):
    values = np.random.default_rng(3).normal(size=60)
    is_cold = np.arange(60) < cold_count
    cluster = np.where(is_cold == (cold_count == 1), 0, np.arange(60))
    strata = Strata(is_cold, cluster, cold_share)
    weighed = values[is_cold == (cold_share == 1)]
    expected = weighed.std(ddof=1) / np.sqrt(len(weighed))
    assert strata.estimate_error(values) == pytest.approx(expected)
    assert strata.is_ahead(values + 5, values - 5 + values / 7, 1.96)
