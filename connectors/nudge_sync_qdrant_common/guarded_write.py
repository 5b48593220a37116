"""A write that touches only rows which still hold what they are expected to hold.

An engine brings its own `read` and `update`; here is what is decided between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import (
    Float32,
    PointId,
    Points,
    WriteReport,
    is_same_vector,
    merge_reports,
)
from nudge_sync.errors import WriteNotVerified

ReadPoints = Callable[[Sequence[PointId]], Points]
"""What `Collection.read` does."""
UpdatePoints = Callable[[Points, Float32], None]
"""Sends the rows, given what they are expected to hold; may leave some out."""
_MAX_ROUNDS = 5
"""How often rows that an update left out are tried again."""
_ALTERATION_TOLERANCE = 5e-3
"""Of the row's length: the engine's own changes (rescaling, half precision) stay below it, what
an application embeds anew does not.
"""


class MarkedPoints(Protocol):
    """What an engine does for rows that are marked while they are written."""

    def set_mark(self, ids: Sequence[PointId], token: str) -> None:
        """Put the token into the payload of these points, under the key that is set aside."""
        ...

    def update_marked(self, ids: Sequence[PointId], token: str) -> None:
        """Write the new vectors of those of these points that still hold the token."""
        ...

    def remove_mark(self, ids: Sequence[PointId]) -> None:
        """Remove that key from the payload of these points."""
        ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rows of a write, by what the database holds for them now."""

    pending: list[int] = field(default_factory=list)
    """Still the expected vector."""
    written: list[int] = field(default_factory=list)
    """The new vector."""
    drifted: list[int] = field(default_factory=list)
    """Another vector."""
    missing: list[int] = field(default_factory=list)
    """Nothing."""


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


def compare_and_write(
    points: Points,
    expected: Float32,
    *,
    read: ReadPoints,
    update: UpdatePoints,
    subject: str,
    rescales: bool = False,
    window: AbstractContextManager[object] | None = None,
) -> WriteReport:
    """Compare the rows with what is stored, update those that may be, and read them back.

    update: may leave out rows, which the read-back shows; they are tried again, up to five times.
    window: held from the compare to the end of the update, and not while rows are read back.
    Raises WriteNotVerified where the engine altered a row, or kept the old vector.
    """
    with window or nullcontext():
        comparison = compare_rows(points, expected, read(points.ids), rescales=rescales)
        reports = [_to_report(points, comparison)]
        points, expected = _select_rows(points, expected, comparison.pending)
        if len(points):
            update(points, expected)
    for attempt in range(_MAX_ROUNDS):
        if not len(points):
            break
        if attempt:
            update(points, expected)
        live = read(points.ids)
        comparison = compare_rows(points, expected, live, rescales=rescales)
        _refuse_altered(points, live, comparison, subject)
        reports.append(_to_report(points, comparison))
        points, expected = _select_rows(points, expected, comparison.pending)
    if len(points):
        raise WriteNotVerified(
            f"{len(points)} points of {subject}, such as {points.ids[0]}, still hold their old "
            "vector after the update was acknowledged; try again"
        )
    return merge_reports(reports)


def write_batches(
    points: Points,
    expected: Float32,
    batch_size: int,
    write: Callable[[Points, Float32], WriteReport],
    threads: int = 1,
) -> WriteReport:
    """Call `write` for `batch_size` rows at a time, and return one report of it all.

    threads: how many calls may run at once. After an error no further one begins.
    """
    parts = [slice(start, start + batch_size) for start in range(0, len(points), batch_size)]
    failed = Event()

    def write_part(part: slice) -> WriteReport:
        if failed.is_set():
            return WriteReport()
        try:
            return write(Points(points.ids[part], points.vectors[part]), expected[part])
        except BaseException:
            failed.set()
            raise

    if threads == 1 or len(parts) == 1:
        return merge_reports(map(write_part, parts))
    with ThreadPoolExecutor(threads) as pool:
        return merge_reports(pool.map(write_part, parts))


def update_marked(
    points: Points,
    expected: Float32,
    *,
    engine: MarkedPoints,
    read: ReadPoints,
    rescales: bool = False,
) -> None:
    """Update rows that are marked before the compare, on the condition that they still are.

    An upsert by the application takes the mark away with the payload it replaces, and so is not
    overwritten. The marks are removed afterwards, whatever happened.
    """
    token = uuid4().hex
    engine.set_mark(points.ids, token)
    try:
        comparison = compare_rows(points, expected, read(points.ids), rescales=rescales)
        if comparison.pending:
            engine.update_marked([points.ids[row] for row in comparison.pending], token)
    finally:
        engine.remove_mark(points.ids)


def _select_rows(points: Points, expected: Float32, rows: Sequence[int]) -> tuple[Points, Float32]:
    return Points([points.ids[row] for row in rows], points.vectors[rows]), expected[rows]


def _to_report(points: Points, comparison: Comparison) -> WriteReport:
    return WriteReport(
        written=[points.ids[row] for row in comparison.written],
        drifted=[points.ids[row] for row in comparison.drifted],
        missing=[points.ids[row] for row in comparison.missing],
    )


def _refuse_altered(points: Points, live: Points, comparison: Comparison, subject: str) -> None:
    """Raise WriteNotVerified for a row that the engine itself altered.

    A row that the application wrote meanwhile is no error: its vector is another one altogether.
    """
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
    """Return whether two vectors point almost the same way, whatever their lengths."""
    left, right = written.astype(np.float64), read_back.astype(np.float64)
    lengths = float(np.linalg.norm(left)), float(np.linalg.norm(right))
    if not all(lengths):
        return False
    return float(np.linalg.norm(left / lengths[0] - right / lengths[1])) < _ALTERATION_TOLERANCE
