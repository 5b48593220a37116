"""Unit rows, lengths and combinations of rows, in the precision that bits depend on."""

from __future__ import annotations

import warnings

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nudge_sync.solve.geometry import (
    combine_rows,
    find_score_unit,
    lengths,
    restore_unmoved,
    to_float32,
    unit,
)

rows = arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 5)),
              elements=st.floats(-1e3, 1e3, width=32))  # fmt: skip


@given(rows)
def test_unit_rows_have_length_one_or_no_direction(given_rows):
    scaled = unit(given_rows)
    np.testing.assert_allclose(lengths(scaled), lengths(given_rows) > 1e-9, atol=1e-12)
    np.testing.assert_allclose(lengths(given_rows)[:, None] * scaled, given_rows, atol=1e-6)


def test_lengths_are_summed_in_float64():
    long_row = np.full((1, 1 << 20), 1e-4, np.float32)
    np.testing.assert_allclose(lengths(long_row), 1e-4 * np.sqrt(1 << 20), rtol=1e-7)


def test_scores_are_measured_in_about_the_mean_length_and_zero_rows_do_not_count():
    for exponent in (-60, 0, 60):
        around = 2.0**exponent * np.array([0.9, 1.0, 1.2])
        assert find_score_unit(around) == find_score_unit(np.append(around, 0)) == 2.0**exponent
    assert find_score_unit(np.zeros(3)) == find_score_unit(np.empty(0)) == 1


def test_what_float32_cannot_hold_becomes_infinite_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(to_float32([[1e300]])).all()


@given(rows, st.floats(-2, 2), st.floats(-2, 2))
def test_rows_are_combined_one_by_one(given_rows, first, second):
    count = len(given_rows)
    weights = first * np.arange(count), second * np.arange(count)
    combined = combine_rows(weights[0], given_rows, weights[1], given_rows[::-1])
    for number in range(count):
        expected = weights[0][number] * given_rows[number].astype(np.float64)
        expected = expected + weights[1][number] * given_rows[::-1][number]
        np.testing.assert_allclose(combined[number], expected, atol=1e-9)


def test_rows_that_do_not_move_come_back_bit_for_bit():
    vectors = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    moved = vectors.astype(np.float64) + 1e-9
    moves = np.array([True, False, True, False, False])
    restored = restore_unmoved(vectors, moved, moves)
    assert restored[~moves].tobytes() == vectors[~moves].tobytes()
    np.testing.assert_array_equal(restored[moves], moved.astype(np.float32)[moves])
