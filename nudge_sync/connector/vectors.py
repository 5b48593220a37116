"""Vectors as every connector checks and compares them."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.connector.contract import Points, WriteReport
from nudge_sync.errors import InputError

TOLERANCE = 1e-6
"""Largest difference of a component that a collection which rescales may make by itself."""


def is_same_vector(left: Float32, right: Float32, *, rescales: bool) -> NDArray[np.bool_]:
    """Return (n,): whether rows of two arrays (n, d) hold the same vector.

    Bit for bit; within TOLERANCE where the collection rescales what is written to it.
    """
    if left.shape != right.shape:
        # A collection made anew with another dimension: nothing in it is what was kept.
        return np.zeros(len(left), np.bool_)
    if rescales:
        close: NDArray[np.bool_] = (np.abs(left - right) <= TOLERANCE).all(axis=1)
        return close
    left_bits, right_bits = (np.ascontiguousarray(rows).view(np.uint32) for rows in (left, right))
    equal: NDArray[np.bool_] = (left_bits == right_bits).all(axis=1)
    return equal


def encode_vector(vector: Float32) -> str:
    """Return the bits of a vector (d,) as text: base64 of little-endian float32.

    For records whose vector is of another dimension than their collection has room for.
    """
    content = np.ascontiguousarray(vector, dtype="<f4").tobytes()
    return base64.b64encode(content).decode("ascii")


def decode_vector(text: str) -> Float32:
    """Return the vector (d,) that `encode_vector` was given. Raises ValueError, TypeError."""
    content = base64.b64decode(text, validate=True)
    return np.frombuffer(content, dtype="<f4").astype(np.float32)


def angles(left: Float32, right: Float32) -> Float64:
    """Return (n,): the angle between rows of two arrays (n, d), in radians; pi/2 if one is zero."""
    left_units, right_units = (_unit(rows) for rows in (left, right))
    # Kahan's form: arccos of a dot product loses half the digits of a small angle.
    difference_norms = np.linalg.norm(left_units - right_units, axis=1)
    sum_norms = np.linalg.norm(left_units + right_units, axis=1)
    return np.asarray(2 * np.arctan2(difference_norms, sum_norms), np.float64)


def check_queries(queries: Float32, dimension: int) -> None:
    """Raise InputError unless `queries` is (q, dimension) and finite: for `Collection.search`."""
    if queries.ndim != 2 or queries.shape[1] != dimension:  # noqa: PLR2004 - an axis each
        raise InputError(f"queries {queries.shape} should be (q, {dimension})")
    if not np.isfinite(queries).all():
        raise InputError("a query is not finite")


def check_write(points: Points, expected: Float32, dimension: int) -> tuple[Points, Float32]:
    """Return the rows of a `Collection.write` as contiguous float32.

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


def merge_reports(reports: Iterable[WriteReport]) -> WriteReport:
    """Return one report of a write that was done in several parts."""
    merged = WriteReport()
    for report in reports:
        merged.written.extend(report.written)
        merged.drifted.extend(report.drifted)
        merged.missing.extend(report.missing)
    return merged


def _unit(rows: Float32) -> Float64:
    doubles = rows.astype(np.float64)
    lengths = np.linalg.norm(doubles, axis=1, keepdims=True)
    return np.asarray(np.divide(doubles, lengths, out=np.zeros_like(doubles), where=lengths > 0))
