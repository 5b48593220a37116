"""What each row of a write holds now, and so what is to be done with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Float32, PointId, Points, WriteReport
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.errors import InputError, WriteNotVerified

ReadPoints = Callable[[Sequence[PointId]], Points]
UpdatePoints = Callable[[Points, Float32], None]
_MAX_ROUNDS = 5
# The engine's own changes (rescaling, half precision) stay below this, relative to the row's
# length; what an application re-embeds does not.
_ALTERATION_TOLERANCE = 5e-3


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


def compare_rows(points: Points, expected: Float32, live: Points, *, rescales: bool) -> Comparison:
    """Sort the rows of `points` by what `live` holds for them.

    live: what is stored, in the order of `points.ids`, missing ids left out.
    """
    rows = _find_rows(points.ids, live.ids)
    written = is_same_vector(live.vectors, points.vectors[rows], rescales=rescales)
    pending = is_same_vector(live.vectors, expected[rows], rescales=rescales) & ~written
    has_live = np.zeros(len(points), dtype=bool)
    has_live[rows] = True
    return Comparison(
        pending=rows[pending].tolist(),
        written=rows[written].tolist(),
        drifted=rows[~(pending | written)].tolist(),
        missing=np.flatnonzero(~has_live).tolist(),
    )


def _find_rows(ids: Sequence[PointId], live_ids: Sequence[PointId]) -> NDArray[np.intp]:
    if len(ids) == len(live_ids):
        return np.arange(len(ids), dtype=np.intp)
    row_by_id = {point_id: number for number, point_id in enumerate(ids)}
    return np.fromiter((row_by_id[i] for i in live_ids), dtype=np.intp, count=len(live_ids))


def check_write(points: Points, expected: Float32, dimension: int) -> tuple[Points, Float32]:
    """The rows as contiguous float32.

    Raises InputError for rows that are not finite, not of the collection's dimension, or not
    unique.
    """
    shape = (len(points), dimension)
    vectors = np.ascontiguousarray(points.vectors, dtype=np.float32)
    expected_rows = np.ascontiguousarray(expected, dtype=np.float32)
    if vectors.shape != shape or expected_rows.shape != shape:
        raise InputError(
            f"vectors {vectors.shape} and expected {expected_rows.shape} should both be {shape}"
        )
    if len(set(points.ids)) != len(points):
        raise InputError("an id comes twice in one write; merge its rows first")
    invalid_rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(invalid_rows):
        raise InputError(f"point {points.ids[invalid_rows[0]]}: the new vector is not finite")
    return Points(points.ids, vectors), expected_rows


def compare_and_write(
    points: Points,
    expected: Float32,
    *,
    read: ReadPoints,
    update: UpdatePoints,
    subject: str,
    rescales: bool = False,
) -> WriteReport:
    """Compare, update, read back; `update` may leave out rows, which the read-back then tells.

    update: takes rows and what they are expected to hold. Rows it left out go through a further
    round, as long as rounds get anywhere. Raises WriteNotVerified.
    """
    report = WriteReport()
    comparison = compare_rows(points, expected, read(points.ids), rescales=rescales)
    _add_to_report(report, points, comparison)
    for _ in range(_MAX_ROUNDS):
        if not comparison.pending:
            return report
        points, expected = select_points(points, comparison.pending), expected[comparison.pending]
        update(points, expected)
        live = read(points.ids)
        comparison = compare_rows(points, expected, live, rescales=rescales)
        _refuse_altered(points, live, comparison, subject)
        _add_to_report(report, points, comparison)
    if not comparison.pending:
        return report
    raise WriteNotVerified(
        f"{len(comparison.pending)} points of {subject}, such as "
        f"{points.ids[comparison.pending[0]]}, still "
        "hold their old vector after the update was acknowledged; try again"
    )


def write_batches(
    points: Points,
    expected: Float32,
    batch_size: int,
    write: Callable[[Points, Float32], WriteReport],
) -> WriteReport:
    """What `write` reports of `size` rows at a time, taken together."""
    report = WriteReport()
    for start in range(0, len(points), batch_size):
        part = slice(start, start + batch_size)
        batch_report = write(Points(points.ids[part], points.vectors[part]), expected[part])
        report.written.extend(batch_report.written)
        report.drifted.extend(batch_report.drifted)
        report.missing.extend(batch_report.missing)
    return report


def select_points(points: Points, rows: Sequence[int]) -> Points:
    """Those rows."""
    return Points([points.ids[row] for row in rows], points.vectors[list(rows)])


def _add_to_report(report: WriteReport, points: Points, comparison: Comparison) -> None:
    report.written.extend(points.ids[row] for row in comparison.written)
    report.drifted.extend(points.ids[row] for row in comparison.drifted)
    report.missing.extend(points.ids[row] for row in comparison.missing)


def _refuse_altered(points: Points, live: Points, comparison: Comparison, subject: str) -> None:
    """Tell a row that the engine altered from one that the application wrote meanwhile."""
    if not comparison.drifted:
        return
    live_by_id = dict(zip(live.ids, live.vectors, strict=True))
    for row in comparison.drifted:
        if _is_altered(points.vectors[row], live_by_id[points.ids[row]]):
            raise WriteNotVerified(
                f"point {points.ids[row]} in {subject}: read back differs from what was written "
                "(a cosine collection rescales); use a unit-length method"
            )


def _is_altered(written: Float32, read_back: Float32) -> bool:
    left, right = written.astype(np.float64), read_back.astype(np.float64)
    lengths = float(np.linalg.norm(left)), float(np.linalg.norm(right))
    if not all(lengths):
        return False
    return float(np.linalg.norm(left / lengths[0] - right / lengths[1])) < _ALTERATION_TOLERANCE
