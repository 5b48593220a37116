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
    left = np.array([[0.6, 0.8], [0.0, 1.0]], np.float32)
    right = left.copy()
    right[0, 0] = np.nextafter(right[0, 0], np.float32(1))
    assert is_same_vector(left, right, rescales=False).tolist() == [False, True]
    assert is_same_vector(left, right, rescales=True).tolist() == [True, True]
    right[0, 0] += 3 * TOLERANCE
    assert is_same_vector(left, right, rescales=True).tolist() == [False, True]


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-3, 0.5, np.pi / 2, 3.0, np.pi])
def test_an_angle_is_exact_however_small_and_whatever_the_lengths(angle):
    left = np.array([[2.0, 0.0]])
    right = 0.1 * np.array([[np.cos(angle), np.sin(angle)]])
    assert angles(left, right) == pytest.approx([angle], rel=1e-9, abs=1e-15)


def test_a_zero_row_is_at_a_right_angle_to_everything():
    zero, row = np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)
    assert angles(zero, row)[0] == angles(row, zero)[0] == pytest.approx(np.pi / 2)
