"""What a process shows while the experiment, its overlay or the database changes or goes away."""

import threading

import pytest

from nudge_sync.errors import CollectionNotFound, Unreachable
from nudge_sync.experiment.experiment import Experiment
from nudge_sync.store.experiments.candidate import open_candidate
from nudge_sync.store.experiments.running import end_experiment, start_experiment
from tests.support.experiments.sample_experiment import (
    MOVED,
    K,
    search_live,
    start_sample_canary,
    turn_vectors,
    wait_for,
)


def test_an_experiment_that_ends_or_changes_is_noticed(sample, open_experiment):
    start_sample_canary(sample)
    experiment = open_experiment(refresh_seconds=0.02)
    query = sample.data.queries[0]
    results = search_live(sample, query, 30)
    assert experiment.rank(query, results, K, session="s1").arm == "treatment"
    end_experiment(sample.target())
    wait_for(lambda: experiment.rank(query, results, K, session="s1").arm == "")
    start_experiment(sample.target(), "holdback", 9, 1.0)
    wait_for(lambda: experiment.rank(query, results, K, session="s1").experiment == "holdback:9")


def test_a_point_that_the_application_embedded_again_or_deleted_leaves_the_overlay(
    sample, open_experiment
):
    start_sample_canary(sample)
    sample.upsert([3], turn_vectors(sample.data.vectors[[3]], seed=9))
    experiment = open_experiment(check_seconds=0.0, refresh_seconds=1000)
    assert not experiment.rank([0.0] * 32, [(3, 0.5)], 1, session="s1").fallback
    sample.delete([5])
    query = turn_vectors(sample.data.vectors[MOVED])[5]
    assert 5 in experiment.rank(query, search_live(sample, query, 30), K, session="s1").ids
    experiment.refresh()
    assert 5 not in experiment.rank(query, search_live(sample, query, 30), K, session="s1").ids


def test_an_overlay_that_is_incomplete_is_not_shown(sample, open_experiment):
    start_sample_canary(sample)
    candidate = open_candidate(sample.target())
    candidate.records.delete([next(iter(candidate.read_keys(1).values()))])
    query = sample.data.queries[0]
    with Experiment(sample.database, "docs", refresh_seconds=0.02) as experiment:
        assert not experiment.wait_until_ready(0.2)
        assert experiment.rank(query, search_live(sample, query, 30), K, session="s1").arm == ""
        assert "60 were staged" in experiment.counts.last_error
        assert experiment.counts.failed_looks


def test_an_overlay_that_is_too_large_is_not_loaded(sample):
    start_sample_canary(sample)
    with Experiment(sample.database, "docs", max_overlay_bytes=1000) as experiment:
        experiment.wait_until_ready(0.2)
        wait_for(lambda: "max_overlay_bytes is 1000" in experiment.counts.last_error)


def test_the_log_does_not_repeat_what_a_client_says(sample, caplog):
    def fail():
        raise ConnectionError("https://user:secret@db")

    with Experiment(fail, "docs", refresh_seconds=0.02) as experiment:
        wait_for(lambda: "secret" in experiment.counts.last_error)
    assert "the experiment could not be read: ConnectionError" in caplog.text
    assert "secret" not in caplog.text


def test_a_database_that_is_away_fails_no_ranking(sample):
    def fail():
        raise Unreachable

    query = sample.data.queries[0]
    results = search_live(sample, query, 30)
    with Experiment(fail, "docs") as experiment:
        ranked = experiment.rank(query, results, K, session="s1")
        assert (ranked.results, ranked.arm) == (results[:K], "")
        with pytest.raises(Unreachable):
            experiment.search(query, K)
    with Experiment(sample.database, "nowhere") as nowhere, pytest.raises(CollectionNotFound):
        nowhere.search(query, K)


def test_an_experiment_that_cannot_be_confirmed_is_no_longer_shown(sample):
    start_sample_canary(sample)
    is_away = threading.Event()

    def connect():
        if is_away.is_set():
            raise Unreachable
        return Away(sample.application.connect(), is_away)

    query = sample.data.queries[0]
    results = search_live(sample, query, 30)
    with Experiment(connect, "docs", refresh_seconds=0.02) as experiment:
        assert experiment.wait_until_ready()
        assert experiment.rank(query, results, K, session="s1").arm == "treatment"
        is_away.set()
        wait_for(lambda: experiment.rank(query, results, K, session="s1").arm == "")
        is_away.clear()
        wait_for(lambda: experiment.rank(query, results, K, session="s1").arm == "treatment")


class Away:
    """A database that can be made to refuse everything."""

    def __init__(self, database, is_away):
        self._database, self._is_away = database, is_away

    def __getattr__(self, name):
        if self._is_away.is_set():
            raise Unreachable
        return getattr(self._database, name)


def test_a_closed_experiment_changes_nothing_any_more(sample, open_experiment):
    start_sample_canary(sample)
    experiment = open_experiment()
    experiment.close()
    query = sample.data.queries[0]
    results = search_live(sample, query, 30)
    assert experiment.rank(query, results, K, session="s1").results == results[:K]
    experiment.close()
