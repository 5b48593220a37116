"""What `nudge_sync.connector.Records` promises of vectors of several dimensions, as tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from nudge_sync.connector import Float32, Record, Records
from nudge_sync.testing.engine import DIMENSION, Engine, unit_rows

MIXED_NAME = "nudge_kit__nudge_dimensions"
"""The collection of records that these tests make."""
OTHER_DIMENSIONS = (DIMENSION // 2, 2 * DIMENSION, 3072)
"""Fewer and more numbers than the collection was made for, and as many as large models give."""
_INDEXED = ("kind",)


class DimensionConformance:
    """Part of `RecordsConformance`: whether a collection takes vectors that it was not made for."""

    @pytest.fixture
    def engine(self) -> Engine:
        """Return the database under test."""
        raise NotImplementedError

    @pytest.fixture
    def mixed_records(self, engine: Engine) -> Iterator[Records]:
        """Yield records whose collection was made for vectors of DIMENSION numbers."""
        yield open_mixed_records(engine)
        engine.database.records(MIXED_NAME, DIMENSION, _INDEXED).drop()

    @pytest.fixture(params=OTHER_DIMENSIONS)
    def other_dimension(self, request: pytest.FixtureRequest) -> int:
        """Return what the vectors of a second handle have."""
        return int(request.param)

    def test_vectors_are_read_as_they_were_stored(
        self, engine: Engine, mixed_records: Records, other_dimension: int
    ) -> None:
        others = engine.database.records(MIXED_NAME, other_dimension, _INDEXED)
        assert _read_vectors(others) == _read_vectors(mixed_records) == {"first": _first_vector()}
        vectors = unit_rows(3, 1, other_dimension)
        vectors[0, :3] = [1e-45, -0.0, 3.4028235e38]
        others.put([Record(f"o{row}", {"kind": "x"}, vectors[row]) for row in range(3)])
        others.put([Record("none", {"kind": "x"})])
        expected = {f"o{row}": vectors[row].tobytes() for row in range(3)}
        expected |= {"first": _first_vector(), "none": None}
        assert _read_vectors(others) == _read_vectors(mixed_records) == expected
        engine.database = engine.reopen()
        for dimension in (DIMENSION, other_dimension):
            reopened = engine.database.records(MIXED_NAME, dimension, _INDEXED)
            assert _read_vectors(reopened) == expected

    def test_records_are_counted_and_found(
        self, engine: Engine, mixed_records: Records, other_dimension: int
    ) -> None:
        others = engine.database.records(MIXED_NAME, other_dimension, _INDEXED)
        others.put(
            [Record("other", {"kind": "x", "n": 2**60}, unit_rows(1, 2, other_dimension)[0])]
        )
        for records in (mixed_records, others):
            assert records.count() == 2
            assert records.count({"kind": "x"}) == 1
            (batch,) = records.scan({"kind": "x"}, vectors=False)
            assert batch == records.get(["other"], vectors=False)
            assert batch == [Record("other", {"kind": "x", "n": 2**60})]
        mixed_records.delete(["other"])
        assert others.get(["other"]) == []

    def test_a_record_is_replaced_by_one_of_another_dimension(
        self, engine: Engine, mixed_records: Records, other_dimension: int
    ) -> None:
        others = engine.database.records(MIXED_NAME, other_dimension, _INDEXED)
        vector = unit_rows(1, 3, other_dimension)[0]
        others.put([Record("first", {}, vector)])
        assert _read_vectors(mixed_records) == {"first": vector.tobytes()}
        mixed_records.put([Record("first", {}, unit_rows(1, 0)[0])])
        assert _read_vectors(others) == {"first": _first_vector()}
        others.put([Record("first", {}, vector)])
        others.put([Record("first", {})])
        assert _read_vectors(others) == {"first": None}

    def test_a_swap_stores_another_dimension(
        self, engine: Engine, mixed_records: Records, other_dimension: int
    ) -> None:
        others = engine.database.records(MIXED_NAME, other_dimension, _INDEXED)
        vectors = unit_rows(2, 4, other_dimension)
        assert others.swap(Record("a", {"generation": 1}, vectors[0]), expected=None)
        assert not others.swap(Record("a", {"generation": 1}, vectors[1]), expected=None)
        assert others.swap(Record("a", {"generation": 2}, vectors[1]), expected=1)
        stored = _read_vectors(mixed_records)
        assert stored == {"first": _first_vector(), "a": vectors[1].tobytes()}

    def test_a_collection_that_was_made_anew_has_the_new_dimension(
        self, engine: Engine, mixed_records: Records, other_dimension: int
    ) -> None:
        mixed_records.drop()
        others = engine.database.records(MIXED_NAME, other_dimension, _INDEXED)
        vectors = unit_rows(200, 5, other_dimension)
        others.put([Record(str(row), {}, vector) for row, vector in enumerate(vectors)])
        expected = {str(row): vector.tobytes() for row, vector in enumerate(vectors)}
        assert _read_vectors(others) == expected


def open_mixed_records(engine: Engine) -> Records:
    """Return records whose collection was made for DIMENSION numbers, with one record in it."""
    records = engine.database.records(MIXED_NAME, DIMENSION, _INDEXED)
    records.drop()
    records.put([Record("first", {}, unit_rows(1, 0)[0])])
    return records


def _first_vector() -> bytes:
    vector: Float32 = unit_rows(1, 0)[0]
    return vector.tobytes()


def _read_vectors(records: Records) -> dict[str, bytes | None]:
    """Return the bits of each vector, by key; `get` and `scan` have to agree on them."""
    scanned = {item.key: _to_bytes(item.vector) for batch in records.scan() for item in batch}
    assert {item.key: _to_bytes(item.vector) for item in records.get(list(scanned))} == scanned
    return scanned


def _to_bytes(vector: Float32 | None) -> bytes | None:
    return None if vector is None else np.asarray(vector, dtype=np.float32).tobytes()
