"""Vectors are checked before they are written or searched for, and compared bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.connector import Points, WriteReport
from nudge_sync.connector.vectors import (
    TOLERANCE,
    angles,
    check_queries,
    check_write,
    is_same_vector,
    merge_reports,
)
from nudge_sync.errors import InputError
from nudge_sync.testing.engine import unit_rows


def test_one_bit_is_another_vector_unless_the_collection_rescales():
    rows = unit_rows(3, seed=0)
    near, far = rows.copy(), rows.copy()
    near[1, 0] = np.nextafter(near[1, 0], np.float32(2))
    far[2, 0] += 10 * TOLERANCE
    assert is_same_vector(rows, near, rescales=False).tolist() == [True, False, True]
    assert is_same_vector(rows, near, rescales=True).all()
    assert is_same_vector(rows, far, rescales=True).tolist() == [True, True, False]


def test_zero_and_minus_zero_differ_and_a_nan_is_itself():
    left = np.array([[0.0], [np.nan]], np.float32)
    right = np.array([[-0.0], [np.nan]], np.float32)
    assert is_same_vector(left, right, rescales=False).tolist() == [False, True]


def test_vectors_of_another_dimension_are_other_vectors():
    assert not is_same_vector(unit_rows(3, 0), unit_rows(3, 0, 5), rescales=True).any()


def test_angles_keep_their_digits_when_they_are_small():
    left = np.array([[1, 0], [1, 0], [2, 0], [0, 0]], np.float32)
    right = np.array([[1, 1e-6], [0, 3], [-1, 0], [1, 0]], np.float32)
    expected = [1e-6, np.pi / 2, np.pi, np.pi / 2]
    np.testing.assert_allclose(angles(left, right), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "queries",
    [
        np.zeros(4, np.float32),
        np.zeros((2, 3), np.float32),
        np.zeros((1, 2, 4), np.float32),
        np.array([[0, 0, 0, np.nan]], np.float32),
        np.array([[0, 0, -np.inf, 0]], np.float32),
    ],
)
def test_queries_that_are_refused(queries):
    with pytest.raises(InputError):
        check_queries(queries, 4)


def test_no_queries_are_fine():
    check_queries(np.empty((0, 4), np.float32), 4)


@pytest.mark.parametrize(
    ("ids", "new", "expected"),
    [
        ([0, 0], unit_rows(2, 0), unit_rows(2, 0)),
        ([0, 1], unit_rows(3, 0), unit_rows(2, 0)),
        ([0, 1], unit_rows(2, 0), unit_rows(2, 0)[:, :7]),
        ([0, 1], np.full((2, 24), np.nan, np.float32), unit_rows(2, 0)),
    ],
)
def test_rows_that_cannot_be_written(ids, new, expected):
    with pytest.raises(InputError):
        check_write(Points(ids, new), expected, 24)


def test_rows_come_back_contiguous_and_as_they_were():
    new, expected = unit_rows(4, 0)[::2], np.asfortranarray(unit_rows(2, 1))
    points, rows = check_write(Points([1, 2], new), expected, 24)
    assert points.vectors.flags.c_contiguous
    assert rows.flags.c_contiguous
    assert np.array_equal(points.vectors, new)
    assert np.array_equal(rows, expected)


def test_reports_are_joined_in_order():
    parts = [WriteReport([1], [2], [3]), WriteReport(), WriteReport([4], [], [5])]
    assert merge_reports(parts) == WriteReport([1, 4], [2], [3, 5])
    assert parts[0] == WriteReport([1], [2], [3])
