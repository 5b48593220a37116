"""Fixtures of the tests of experiments: a sample collection, and experiments that are closed."""

import pytest

from nudge_sync.experiment.experiment import Experiment
from tests.support.sample_collection import open_sample_collection


@pytest.fixture
def sample(tmp_path):
    with open_sample_collection("memory", tmp_path) as opened:
        yield opened


@pytest.fixture
def open_experiment(sample):
    opened = []

    def create(**options):
        experiment = Experiment(sample.database, "docs", **{"deadline": 30, **options})
        opened.append(experiment)
        assert experiment.wait_until_ready()
        return experiment

    yield create
    for experiment in opened:
        experiment.close()
