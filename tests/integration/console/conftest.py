"""A console over a collection in memory."""

from __future__ import annotations

import pytest

from tests.support.console.console_site import open_console
from tests.support.sample_collection import open_sample_collection


@pytest.fixture
def memory_sample(tmp_path):
    with open_sample_collection("memory", tmp_path) as opened:
        opened.add_judgements()
        yield opened


@pytest.fixture
def memory_site(memory_sample):
    with open_console(memory_sample) as opened:
        yield opened
