"""NUDGE-N turns each row towards its pull, never further than the angle."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nudge_sync.solve.geometry import lengths, unit
from nudge_sync.solve.nudge_n import build_plane, rotate

finite = st.floats(-1e3, 1e3, width=32)


@st.composite
def rows_and_pulls(draw):
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 5)))
    return draw(arrays(np.float32, shape, elements=finite)), draw(
        arrays(np.float64, shape, elements=finite)
    )


@given(rows_and_pulls(), st.floats(0, np.pi / 2))
def test_a_rotation_keeps_lengths_and_never_passes_the_angle(given_rows, angle):
    rows, pulls = given_rows
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        turned = rotate(rows, pulls, build_plane(rows, pulls), angle)
    assert np.isfinite(turned).all()
    np.testing.assert_allclose(lengths(turned), lengths(rows), rtol=1e-6, atol=1e-30)
    apart = lengths(unit(turned) - unit(rows))
    assert (apart <= 2 * np.sin(angle / 2) + 1e-6).all()


@given(rows_and_pulls(), st.floats(0, np.pi / 2))
def test_a_rotation_never_lowers_the_score_of_the_pull(given_rows, angle):
    rows, pulls = given_rows
    before = np.einsum("ij,ij->i", unit(rows), unit(pulls))
    after = np.einsum(
        "ij,ij->i", unit(rotate(rows, pulls, build_plane(rows, pulls), angle)), unit(pulls)
    )
    assert (after >= before - 1e-6).all()


def test_rows_nothing_pulls_and_rows_pulled_backwards_stay_bit_for_bit():
    rows = np.array([[0.6, 0.8], [0.3, 0.1], [0.0, 1.0]], np.float32)
    pulls = np.array([[0.0, 0.0], [-3.0, -1.0], [0.0, 5.0]])
    assert rotate(rows, pulls, build_plane(rows, pulls), 0.5).tobytes() == rows.tobytes()


def test_a_row_nearer_than_the_angle_lands_on_its_pull():
    rows = np.array([[1.0, 0.0]], np.float32)
    pulls = np.array([[np.cos(0.2), np.sin(0.2)]]) * 7
    turned = rotate(rows, pulls, build_plane(rows, pulls), 0.5)
    np.testing.assert_allclose(turned, [[np.cos(0.2), np.sin(0.2)]], atol=1e-7)


def test_a_row_almost_on_its_pull_stays_finite():
    rows = unit(np.random.default_rng(0).normal(size=(500, 64))).astype(np.float32)
    near = rows.astype(np.float64) + 1e-9
    with np.errstate(all="raise", under="ignore"):
        turned = rotate(rows, near, build_plane(rows, near), 0.3)
    np.testing.assert_allclose(turned, rows, atol=1e-6)
