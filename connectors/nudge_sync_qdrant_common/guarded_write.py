"""What each row of a write holds now, and so what is to be done with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Float32, PointId, Points, WriteReport
from nudge_sync.connector.vectors import same
from nudge_sync.errors import InputError, WriteNotVerified

Read = Callable[[Sequence[PointId]], Points]
Update = Callable[[Points, Float32], None]
_ROUNDS = 5
# The engine's own changes (rescaling, half precision) stay below this, relative to the row's
# length; what an application re-embeds does not.
_ALTERED = 5e-3


@dataclass(frozen=True, slots=True)
class Comparison:
    """Row numbers by what is stored there now."""

    pending: list[int] = field(default_factory=list)
    """Still the expected vector."""
    written: list[int] = field(default_factory=list)
    """The new vector."""
    drifted: list[int] = field(default_factory=list)
    """Another vector."""
    missing: list[int] = field(default_factory=list)


def compare(points: Points, expected: Float32, live: Points, *, rescales: bool) -> Comparison:
    """Sort the rows of `points` by what `live` holds for them.

    live: what is stored, in the order of `points.ids`, missing ids left out.
    """
    rows = _rows_of(points.ids, live.ids)
    written = same(live.vectors, points.vectors[rows], rescales=rescales)
    pending = same(live.vectors, expected[rows], rescales=rescales) & ~written
    found = np.zeros(len(points), dtype=bool)
    found[rows] = True
    return Comparison(
        pending=rows[pending].tolist(),
        written=rows[written].tolist(),
        drifted=rows[~(pending | written)].tolist(),
        missing=np.flatnonzero(~found).tolist(),
    )


def _rows_of(ids: Sequence[PointId], found: Sequence[PointId]) -> NDArray[np.intp]:
    if len(ids) == len(found):
        return np.arange(len(ids), dtype=np.intp)
    row = {point_id: number for number, point_id in enumerate(ids)}
    return np.fromiter((row[i] for i in found), dtype=np.intp, count=len(found))


def checked(points: Points, expected: Float32, dimension: int) -> tuple[Points, Float32]:
    """The rows as contiguous float32.

    Raises InputError for rows that are not finite, not of the collection's dimension, or not
    unique.
    """
    shape = (len(points), dimension)
    vectors = np.ascontiguousarray(points.vectors, dtype=np.float32)
    before = np.ascontiguousarray(expected, dtype=np.float32)
    if vectors.shape != shape or before.shape != shape:
        raise InputError(
            f"vectors {vectors.shape} and expected {before.shape} should both be {shape}"
        )
    if len(set(points.ids)) != len(points):
        raise InputError("an id comes twice in one write; merge its rows first")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise InputError(f"point {points.ids[bad[0]]}: the new vector is not finite")
    return Points(points.ids, vectors), before


def replace(
    points: Points,
    expected: Float32,
    *,
    read: Read,
    update: Update,
    place: str,
    rescales: bool = False,
) -> WriteReport:
    """Compare, update, read back; `update` may leave out rows, which the read-back then tells.

    update: takes rows and what they are expected to hold. Rows it left out go through a further
    round, as long as rounds get anywhere. Raises WriteNotVerified.
    """
    report = WriteReport()
    state = compare(points, expected, read(points.ids), rescales=rescales)
    _report(report, points, state)
    for _ in range(_ROUNDS):
        if not state.pending:
            return report
        points, expected = take(points, state.pending), expected[state.pending]
        update(points, expected)
        live = read(points.ids)
        state = compare(points, expected, live, rescales=rescales)
        _refuse_altered(points, live, state, place)
        _report(report, points, state)
    if not state.pending:
        return report
    raise WriteNotVerified(
        f"{len(state.pending)} points of {place}, such as {points.ids[state.pending[0]]}, still "
        "hold their old vector after the update was acknowledged; try again"
    )


def in_batches(
    points: Points, expected: Float32, size: int, write: Callable[[Points, Float32], WriteReport]
) -> WriteReport:
    """What `write` reports of `size` rows at a time, taken together."""
    report = WriteReport()
    for start in range(0, len(points), size):
        part = slice(start, start + size)
        done = write(Points(points.ids[part], points.vectors[part]), expected[part])
        report.written.extend(done.written)
        report.drifted.extend(done.drifted)
        report.missing.extend(done.missing)
    return report


def take(points: Points, rows: Sequence[int]) -> Points:
    """Those rows."""
    return Points([points.ids[row] for row in rows], points.vectors[list(rows)])


def _report(report: WriteReport, points: Points, state: Comparison) -> None:
    report.written.extend(points.ids[row] for row in state.written)
    report.drifted.extend(points.ids[row] for row in state.drifted)
    report.missing.extend(points.ids[row] for row in state.missing)


def _refuse_altered(points: Points, live: Points, state: Comparison, place: str) -> None:
    """Tell a row that the engine altered from one that the application wrote meanwhile."""
    if not state.drifted:
        return
    now = dict(zip(live.ids, live.vectors, strict=True))
    for row in state.drifted:
        if _altered(points.vectors[row], now[points.ids[row]]):
            raise WriteNotVerified(
                f"point {points.ids[row]} in {place}: read back differs from what was written "
                "(a cosine collection rescales); use a unit-length method"
            )


def _altered(written: Float32, found: Float32) -> bool:
    left, right = written.astype(np.float64), found.astype(np.float64)
    lengths = float(np.linalg.norm(left)), float(np.linalg.norm(right))
    if not all(lengths):
        return False
    return float(np.linalg.norm(left / lengths[0] - right / lengths[1])) < _ALTERED
