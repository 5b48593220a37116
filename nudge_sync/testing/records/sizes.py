"""The promise of `nudge_sync.connector.SizedDatabase`, as tests; others are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from nudge_sync.connector import Database, Record, Records, SizedDatabase
from nudge_sync.testing.engine import DIMENSION, Engine, unit_rows

SIZED_NAME = "nudge_kit__nudge_sizes"
"""The collection of records that these tests make."""
_RECORDS = 500


class SizeConformance:
    """Part of `RecordsConformance`: whether a size tells when records came or went."""

    @pytest.fixture
    def engine(self) -> Engine:
        """Return the database under test."""
        raise NotImplementedError

    @pytest.fixture
    def sized_records(self, engine: Engine) -> Iterator[Records]:
        """Yield records with vectors, nothing stored yet."""
        records = open_sized_records(engine)
        records.drop()
        yield records
        records.drop()

    def test_what_was_never_put_has_no_size(self, engine: Engine, sized_records: Records) -> None:
        assert _measure(engine) in (0, None)
        assert sized_records.get(["0"]) == []

    def test_a_size_tells_that_records_came_or_went(
        self, engine: Engine, sized_records: Records
    ) -> None:
        vectors = unit_rows(_RECORDS, seed=4)
        keys = [str(number) for number in range(_RECORDS)]
        sizes = []
        for known in (1, _RECORDS - 1, _RECORDS):
            sized_records.put(
                [Record(key, {}, row) for key, row in zip(keys[:known], vectors, strict=False)]
            )
            sizes.append(_measure(engine))
        for gone in (keys[:1], keys[1:-1]):
            sized_records.delete(gone)
            sizes.append(_measure(engine))
        if None not in sizes:
            assert all(one != other for one, other in pairwise(sizes))
        sized_records.drop()
        assert _measure(engine) in (0, None)

    def test_where_nothing_came_or_went_it_stays(
        self, engine: Engine, sized_records: Records
    ) -> None:
        vectors = unit_rows(_RECORDS, seed=5)
        sized_records.put([Record(str(row), {}, vector) for row, vector in enumerate(vectors)])
        sizes = {_measure(engine) for _ in range(3)}
        assert sized_records.count() == _RECORDS
        assert sizes <= {_RECORDS, None}


def open_sized_records(engine: Engine) -> Records:
    """Return the records that these tests store."""
    return engine.database.records(SIZED_NAME, DIMENSION)


def _measure(engine: Engine) -> int | None:
    return _require_sized(engine.database).size(SIZED_NAME)


def _require_sized(database: Database) -> SizedDatabase:
    if not isinstance(database, SizedDatabase):
        pytest.skip("this database counts its records")
    return database
