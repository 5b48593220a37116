"""Fixtures of the tests of canaries: a sample collection with feedback."""

import pytest

from tests.support.sample_collection import open_sample_collection


@pytest.fixture
def sample(tmp_path):
    with open_sample_collection("memory", tmp_path) as opened:
        opened.add_judgements()
        yield opened
