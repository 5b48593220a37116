"""When two vectors count as the same, and how far apart vectors are."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.connector.vectors import TOLERANCE, angles, is_same_vector


@pytest.mark.parametrize("rescales", [True, False])
def test_vectors_of_another_dimension_are_other_vectors(rescales):
    four, six = np.ones((2, 4), np.float32), np.ones((2, 6), np.float32)
    assert is_same_vector(four, six, rescales=rescales).tolist() == [False, False]


def test_one_bit_counts_unless_the_collection_rescales():
    left = np.array([[0.0, 1.0], [0.5, 0.5], [np.nan, 1.0]], np.float32)
    right = np.array(
        [[-0.0, 1.0], [0.5, np.nextafter(0.5, 1, dtype=np.float32)], [np.nan, 1.0]], np.float32
    )
    assert is_same_vector(left, right, rescales=False).tolist() == [False, False, True]
    assert is_same_vector(left[:2], right[:2], rescales=True).tolist() == [True, True]
    right[1, 1] += 3 * TOLERANCE
    assert is_same_vector(left[:2], right[:2], rescales=True).tolist() == [True, False]


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-3, 1.0, np.pi / 2, 3.0, np.pi])
def test_an_angle_is_right_however_small_and_whatever_the_lengths(angle):
    left = np.array([[2.0, 0.0, 0.0]])
    right = np.array([[3 * np.cos(angle), 3 * np.sin(angle), 0.0]])
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        assert angles(left, right)[0] == pytest.approx(angle, rel=1e-9, abs=1e-15)


def test_a_zero_row_is_at_a_right_angle_to_everything():
    zero, row = np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)
    assert angles(zero, row)[0] == angles(row, zero)[0] == pytest.approx(np.pi / 2)
