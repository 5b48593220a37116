"""What holds for every Qdrant engine: ids, rows, cosine, payloads."""

from __future__ import annotations

import json
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.connector import Points, Record
from nudge_sync.errors import DamagedRecord, InputError, WriteNotVerified
from nudge_sync_qdrant_common import guarded_write, record_codec
from nudge_sync_qdrant_common.cosine import refuse_rescaled
from nudge_sync_qdrant_common.ids import select_possible_ids

SCALARS = st.one_of(
    st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)
DOCUMENTS = st.recursive(
    st.one_of(SCALARS, st.none()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class FakeEngine:
    """Points as an engine would hold them; `before` runs between compare and write."""

    def __init__(self, vectors):
        self.vectors = dict(enumerate(vectors))
        self.before = []
        self.reads = 0

    def read(self, ids):
        self.reads += 1
        found = [i for i in ids if i in self.vectors]
        matrix = np.array([self.vectors[i] for i in found], np.float32)
        return Points(found, matrix.reshape(len(found), -1))

    def update(self, points, expected):
        if self.before:
            self.before.pop(0)(self)
        for point_id, vector in zip(points.ids, points.vectors, strict=True):
            if point_id not in self.vectors:
                return  # As Qdrant does: what came first was written, the rest was not.
            self.vectors[point_id] = vector.copy()

    def replace(self, points, expected):
        return guarded_write.compare_and_write(
            points, expected, read=self.read, update=self.update, subject='"docs"'
        )


def make_unit_rows(count, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_plain_write_reads_twice():
    world, new = FakeEngine(make_unit_rows(4)), make_unit_rows(4, seed=1)
    report = world.replace(Points([0, 1, 2, 3], new), make_unit_rows(4))
    assert report.written == [0, 1, 2, 3]
    assert world.reads == 2


def test_a_point_that_vanishes_between_compare_and_write():
    world, new = FakeEngine(make_unit_rows(4)), make_unit_rows(4, seed=1)
    world.before = [lambda world: world.vectors.pop(1)]
    report = world.replace(Points([0, 1, 2, 3], new), make_unit_rows(4))
    assert (sorted(report.written), report.missing) == ([0, 2, 3], [1])
    assert np.array_equal(world.vectors[3], new[3])


def test_the_application_writes_right_after_us():
    world, new, theirs = (
        FakeEngine(make_unit_rows(2)),
        make_unit_rows(2, seed=1),
        make_unit_rows(1, seed=2)[0],
    )

    def later(world):
        plain, world.update = world.update, None

        def update(points, expected):
            plain(points, expected)
            world.vectors[0] = theirs

        world.update = update

    later(world)
    report = world.replace(Points([0, 1], new), make_unit_rows(2))
    assert (report.written, report.drifted) == ([1], [0])
    assert np.array_equal(world.vectors[0], theirs)


@pytest.mark.parametrize("factor", [np.float32(1 + 3e-7), np.float32(2), np.float32(0.25)])
def test_an_engine_that_alters_what_it_stores(factor):
    world, new = FakeEngine(make_unit_rows(2)), make_unit_rows(2, seed=1)

    def update(points, expected):
        for point_id, vector in zip(points.ids, points.vectors, strict=True):
            world.vectors[point_id] = vector * factor

    world.update = update
    with pytest.raises(WriteNotVerified, match='point 0 in "docs"'):
        world.replace(Points([0, 1], new), make_unit_rows(2))


def test_an_engine_that_only_says_it_wrote():
    world = FakeEngine(make_unit_rows(2))
    world.update = lambda points, expected: None
    with pytest.raises(WriteNotVerified, match="still hold their old vector"):
        world.replace(Points([0, 1], make_unit_rows(2, seed=1)), make_unit_rows(2))


@pytest.mark.parametrize(
    ("ids", "new", "expected"),
    [
        ([0, 0], make_unit_rows(2), make_unit_rows(2)),
        ([0, 1], make_unit_rows(3), make_unit_rows(2)),
        ([0, 1], make_unit_rows(2), make_unit_rows(2)[:, :7]),
        ([0, 1], np.full((2, 8), np.nan, np.float32), make_unit_rows(2)),
    ],
)
def test_rows_that_cannot_be_written(ids, new, expected):
    with pytest.raises(InputError):
        guarded_write.check_write(Points(ids, new), expected, 8)


def test_possible_ids():
    name = "0f2f6fd6-0000-4000-8000-000000000001"
    asked = [1, 1, 0, -1, 2**64 - 1, 2**64, "1", name, name.upper(), UUID(name).hex, True, 1.0]
    assert select_possible_ids(asked) == [1, 0, 2**64 - 1, name]
    assert select_possible_ids([True, 1, False, 0]) == [1, 0]


def test_cosine_takes_unit_rows_and_zeros():
    vectors = make_unit_rows(3)
    vectors[2] = 0
    refuse_rescaled(Points([0, 1, 2], vectors), '"docs"')
    with pytest.raises(InputError, match=r'point 1 in "docs".*unit'):
        refuse_rescaled(Points([0, 1, 2], vectors * np.float32([[1], [1.000002], [1]])), '"docs"')


@given(st.text(min_size=1), st.dictionaries(st.text(), DOCUMENTS, max_size=6))
def test_records_come_back_from_payloads(key, document):
    stored = json.loads(json.dumps(record_codec.encode_record(Record(key, document))))
    assert record_codec.decode_record(stored, None) == Record(key, document)


@given(st.text(), SCALARS, SCALARS)
def test_tokens_are_equal_where_values_are(name, one, other):
    alike = type(one) is type(other) and one == other
    numbers = not isinstance(one, bool | str) and not isinstance(other, bool | str)
    if alike or (numbers and one == other and abs(one) < 2**53):
        assert record_codec.encode_term(name, one) == record_codec.encode_term(name, other)
    elif one != other or isinstance(one, bool) != isinstance(other, bool):
        assert record_codec.encode_term(name, one) != record_codec.encode_term(name, other)


@pytest.mark.parametrize("document", [{"a": float("nan")}, {"a": {1}}, {"a": object()}])
def test_what_json_cannot_hold(document):
    with pytest.raises(InputError, match="not JSON"):
        record_codec.encode_record(Record("key", document))


@pytest.mark.parametrize("stored", [{}, {"key": '"a"'}, {"key": "{", "document": "{}"}])
def test_damaged_payloads_are_named(stored):
    with pytest.raises(DamagedRecord):
        record_codec.decode_record(stored, None)


@pytest.mark.parametrize(
    "record",
    [
        Record("", {}),
        Record("a", {}, np.zeros(3, np.float32)),
        Record("a", {}, np.array([1, np.inf], np.float32)),
    ],
)
def test_records_that_cannot_be_stored(record):
    with pytest.raises(InputError):
        record_codec.check_records([record], 2)
