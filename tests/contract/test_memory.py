"""The database in memory keeps every promise."""

from __future__ import annotations

import pytest

from nudge_sync.testing.conformance import CollectionConformance, RecordsConformance
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.memory_backdoor import make_memory_engine


class TestCollection(CollectionConformance):
    @pytest.fixture(params=[False, True], ids=["exact", "rescales"])
    def engine(self, request):
        return make_memory_engine(MemoryDatabase(), rescales=request.param)


class TestRecords(RecordsConformance):
    @pytest.fixture
    def engine(self):
        return make_memory_engine(MemoryDatabase())
