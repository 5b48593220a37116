"""NUDGE-M moves each row by its step along its pull, and leaves all others bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nudge_sync.solve.geometry import lengths, unit
from nudge_sync.solve.nudge_m import translate
from nudge_sync.solve.nudge_n import build_plane

finite = st.floats(-1e3, 1e3, width=32)
shapes = st.shared(st.tuples(st.integers(1, 6), st.integers(1, 5)), key="shape")


@given(
    arrays(np.float32, shapes, elements=finite),
    arrays(np.float64, shapes, elements=finite),
    st.floats(0, 2),
)
def test_a_step_has_its_length_and_direction(rows, pulls, step):
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        moved = translate(rows, pulls, build_plane(rows, pulls), step)
    expected = rows + step * lengths(rows)[:, None] * unit(pulls)
    np.testing.assert_allclose(moved, expected, atol=1e-6 * (1 + lengths(rows).max()))


def test_rows_that_nothing_pulls_and_zero_rows_stay_bit_for_bit():
    rows = np.array([[0.6, 0.8], [0.0, 0.0]], np.float32)
    pulls = np.array([[0.0, 0.0], [1.0, 0.0]])
    assert translate(rows, pulls, build_plane(rows, pulls), 0.5).tobytes() == rows.tobytes()
