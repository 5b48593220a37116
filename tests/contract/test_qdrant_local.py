"""The Qdrant connector on qdrant-client's local modes, in memory and on disk."""

from __future__ import annotations

import pytest

pytest.importorskip("qdrant_client")

from nudge_sync.connector import connect
from nudge_sync.testing.conformance import CollectionConformance, Engine, RecordsConformance
from tests.support.qdrant_backdoor import QdrantBackdoor


def local_engine(section, vector="") -> Engine:
    def reopen():
        if "path" not in section:
            return engine.database  # Nothing of it outlives its client.
        engine.database.close()
        again = connect("qdrant", section)
        engine.backdoor.client = again.connection.client
        return again

    database = connect("qdrant", section)
    backdoor = QdrantBackdoor(database.connection.client, vector)
    engine = Engine(database, backdoor, reopen, vector, foreign_ids=["7", "x", -1, 2**64, "../x"])
    engine.alias = backdoor.alias
    return engine


@pytest.fixture(params=["memory", "disk"])
def section(request, directory):
    return {"location": ":memory:"} if request.param == "memory" else {"path": str(directory)}


class TestCollection(CollectionConformance):
    @pytest.fixture
    def engine(self, section):
        named = "path" in section
        if named:
            section |= {"payload_mark": "_nudge_sync"}
        engine = local_engine(section, "title" if named else "")
        yield engine
        engine.database.close()


class TestRecords(RecordsConformance):
    @pytest.fixture
    def engine(self, section):
        engine = local_engine(section)
        yield engine
        engine.database.close()
