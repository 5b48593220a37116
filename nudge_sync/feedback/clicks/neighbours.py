"""What similar queries know: a point that answers one is likelier to answer another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from nudge_sync.base.threads import spread
from nudge_sync.connector import Float32
from nudge_sync.feedback.clicks.pbm import Pairs

Float64 = NDArray[np.float64]
SHARPNESS = 6.0
"""The broadest of three circles: a query at cosine c counts exp(SHARPNESS * (c - 1)) in it, and the
second and the fourth power of that in the others."""
RESERVE = 0.2
"""How much likeness has to come together before neighbours are half believed."""
_MOST = 512
_FLOATS = 2**22
_STEPS = 12


def hints(vectors: Float32, of: Pairs, surprise: Float64) -> Float64:
    """(p, 5): what others say of each pair, each from -1 to 1.

    The other queries the point was shown for: near ones, nearer ones, the nearest ones, all of
    them; last, the other points that were shown for the query.
    vectors: (groups, d), unit rows; surprise: (p,), belief less what was believed before any
    click. Each is a mean of surprises, so that whoever knows nothing says nothing.
    """
    found = np.zeros((len(of), 5), np.float64)
    said = surprise.astype(np.float32)

    def hear(rows: NDArray[np.int64]) -> None:
        found[rows, :3] = _circles(vectors[of.group[rows]], said[rows])

    spread(hear, list(_by_size(of.point, vectors.shape[1])))
    found[:, 3] = _of_the_others(of.point, surprise)
    found[:, 4] = _of_the_others(of.group, surprise)
    return found


def _by_size(point: NDArray[np.int64], dimension: int) -> Iterator[NDArray[np.int64]]:
    """(b, n): the rows of b points with n rows each; points with a single row are left out."""
    order = np.argsort(point, kind="stable")
    starts = np.flatnonzero(np.diff(point[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    for size in np.unique(sizes[sizes > 1]).tolist():
        of_size = starts[sizes == size]
        batch = max(1, _FLOATS // (size * (size + dimension)))
        for first in range(0, len(of_size), batch):
            yield order[of_size[first : first + batch, None] + np.arange(size)]


def _circles(vectors: Float32, surprise: Float32) -> Float32:
    """(b, n, 3) of vectors (b, n, d) and surprise (b, n)."""
    if vectors.shape[1] > _MOST:
        # Of a point shown everywhere the most telling queries speak.
        told = np.argsort(-np.abs(surprise), axis=1, kind="stable")[:, :_MOST]
        telling = np.take_along_axis(vectors, told[:, :, None], axis=1)
        said = np.take_along_axis(surprise, told, axis=1)
    else:
        told, telling, said = np.arange(vectors.shape[1])[None], vectors, surprise
    likeness = vectors @ telling.transpose(0, 2, 1)
    likeness = np.exp(np.float32(SHARPNESS) * (likeness - np.float32(1)))
    np.put_along_axis(likeness, told[:, None, :], np.float32(0), axis=1)
    said = np.stack([said, np.ones_like(said)], axis=2)
    circles = []
    for _ in range(3):
        sums = likeness @ said
        circles.append(sums[:, :, 0] / (sums[:, :, 1] + np.float32(RESERVE)))
        likeness *= likeness
    return np.stack(circles, axis=2)


def _of_the_others(key: NDArray[np.int64], surprise: Float64) -> Float64:
    sums = np.bincount(key, weights=surprise)[key] - surprise
    return np.asarray(sums / (np.bincount(key)[key] - 1 + RESERVE))


def odds(prior: Float64, hint: Float64, belief: Float64) -> Float64:
    """(p,): log odds of relevance before a pair's own clicks, given its place and its hints.

    prior: (p,), log odds of the place; hint: (p, h). How far each kind of hint is to be trusted
    is fitted to the beliefs by logistic regression (Newton's steps), held near not at all.
    """
    columns = np.concatenate([np.ones((len(hint), 1)), hint], axis=1)
    at, now = np.zeros(columns.shape[1]), _fit(prior, belief)
    for _ in range(_STEPS):
        chance = expit(prior + columns @ at)
        slope = columns.T @ (belief - chance) - at
        spread = np.maximum(chance * (1 - chance), 1e-9)
        bend = (columns * spread[:, None]).T @ columns + np.eye(len(at))
        move = np.linalg.solve(bend, slope)
        for _ in range(_STEPS):
            there = at + move
            then = _fit(prior + columns @ there, belief) - float(there @ there) / 2
            if then >= now:
                break
            move /= 2
        if then <= now + 1e-6 * abs(now):
            break
        at, now = there, then
    return np.asarray(prior + columns @ at)


def _fit(at: Float64, belief: Float64) -> float:
    return float((belief * at - np.logaddexp(0.0, at)).sum())
