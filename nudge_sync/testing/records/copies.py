"""The promises of `nudge_sync.connector.ReplicatedDatabase`, as tests; others are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from nudge_sync.connector import Database, Record, ReplicatedDatabase, Replication
from nudge_sync.testing.engine import DIMENSION, Engine, prepared, unit_rows

RECORDS_NAME = "nudge_kit__nudge_copies"
"""The collection of records that these tests make."""


class ReplicationConformance:
    """Part of `RecordsConformance`: what a database says and does about copies."""

    @pytest.fixture
    def engine(self) -> Engine:
        """Return the database under test."""
        raise NotImplementedError

    @pytest.fixture
    def collection_name(self, engine: Engine) -> Iterator[str]:
        """Yield the name of a collection of the user's, with nothing of the sidecar's beside it."""
        _require_replicated(engine.database)
        case = prepared(engine, engine.metrics[0], integer_ids=True)
        engine.database.records(RECORDS_NAME, DIMENSION).drop()
        yield case.name
        engine.database.records(RECORDS_NAME, DIMENSION).drop()

    def test_records_beside_a_collection_are_records(
        self, engine: Engine, collection_name: str
    ) -> None:
        database = _require_replicated(engine.database)
        records = database.records_beside(collection_name, RECORDS_NAME, DIMENSION, ["revision"])
        assert records.get(["a"]) == []
        vector = unit_rows(1, seed=8)[0]
        records.put([Record("a", {"revision": 1}, vector)])
        (stored,) = engine.database.records(RECORDS_NAME, DIMENSION, ["revision"]).get(["a"])
        assert stored.document == {"revision": 1}
        assert stored.vector is not None
        assert stored.vector.tobytes() == vector.tobytes()

    def test_they_have_the_copies_that_were_announced(
        self, engine: Engine, collection_name: str
    ) -> None:
        database = _require_replicated(engine.database)
        collection = database.replication(collection_name)
        announced = database.replication(RECORDS_NAME, beside=collection_name)
        assert database.replication(RECORDS_NAME) is None
        assert (announced is None) is (collection is None)
        database.records_beside(collection_name, RECORDS_NAME, DIMENSION).put([Record("a", {})])
        made = database.replication(RECORDS_NAME, beside=collection_name)
        assert (made is None) is (collection is None)
        if collection and announced and made:
            assert _list_copies(made) == _list_copies(announced) == _list_copies(collection)
            assert made.active == made.replicas

    def test_asking_for_the_copies_there_are_changes_nothing(
        self, engine: Engine, collection_name: str
    ) -> None:
        database = _require_replicated(engine.database)
        records = database.records_beside(collection_name, RECORDS_NAME, DIMENSION)
        records.put([Record("a", {"number": 7})])
        replication = database.replication(RECORDS_NAME)
        if replication is None:
            pytest.skip("this database says nothing of copies")
        assert database.replicate(RECORDS_NAME, replication) == []
        fewer = replace(replication, factor=1, write_consistency=1)
        assert database.replicate(RECORDS_NAME, fewer) == []
        assert database.replication(RECORDS_NAME) == replication
        assert records.get(["a"])[0].document == {"number": 7}


def _require_replicated(database: Database) -> ReplicatedDatabase:
    if not isinstance(database, ReplicatedDatabase):
        pytest.skip("this database knows nothing of copies")
    return database


def _list_copies(replication: Replication) -> tuple[int, int, int]:
    return replication.factor, replication.replicas, replication.write_consistency
