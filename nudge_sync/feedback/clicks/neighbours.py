"""Neighbour features: a point that is relevant to a query is likelier relevant to similar ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import expit

from nudge_sync.base.arrays import Float32, Float64, Int64
from nudge_sync.base.threads import map_in_threads
from nudge_sync.feedback.clicks.impressions.pairs import Pairs

KERNEL_SHARPNESS = 6.0
"""Of the broadest of three kernels, in which a query at cosine c has the weight
exp(KERNEL_SHARPNESS * (c - 1)); the other two take the second and the fourth power of that."""
SHRINKAGE = 0.2
"""The total weight of neighbours at which their mean residual counts half."""
_MAX_NEIGHBOURS = 512
_MAX_BATCH_FLOATS = 2**22
_MAX_NEWTON_STEPS = 12


def compute_neighbour_features(vectors: Float32, pairs: Pairs, residual: Float64) -> Float64:
    """Return the mean residuals of the neighbours of each pair, (p, 5), each from -1 to 1.

    vectors: (groups, d), unit rows.  residual: (p,), relevance less its prior, so that a pair
    without evidence has 0.
    Columns 0 to 2: the other queries that the point was shown for, under kernels from broad to
    narrow.  3: all of those queries alike.  4: the other points that were shown for the query.
    """
    features = np.zeros((len(pairs), 5), np.float64)
    rounded_residual = residual.astype(np.float32)

    def fill_kernel_means(rows: Int64) -> None:
        features[rows, :3] = _compute_kernel_means(
            vectors[pairs.query_group[rows]], rounded_residual[rows]
        )

    map_in_threads(fill_kernel_means, list(_batch_by_size(pairs.point, vectors.shape[1])))
    features[:, 3] = _average_others(pairs.point, residual)
    features[:, 4] = _average_others(pairs.query_group, residual)
    return features


def _batch_by_size(point: Int64, dimension: int) -> Iterator[Int64]:
    """Yield the rows of b points with n rows each, (b, n), without points of a single row."""
    order = np.argsort(point, kind="stable")
    starts = np.flatnonzero(np.diff(point[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    for size in np.unique(sizes[sizes > 1]).tolist():
        starts_of_size = starts[sizes == size]
        points_per_batch = max(1, _MAX_BATCH_FLOATS // (size * (size + dimension)))
        for first in range(0, len(starts_of_size), points_per_batch):
            yield order[starts_of_size[first : first + points_per_batch, None] + np.arange(size)]


def _compute_kernel_means(vectors: Float32, residual: Float32) -> Float32:
    """Return the means under the three kernels, (b, n, 3).

    vectors: (b, n, d).  residual: (b, n).
    """
    if vectors.shape[1] > _MAX_NEIGHBOURS:
        # Of a point shown for very many queries only those with the largest residuals count.
        neighbour = np.argsort(-np.abs(residual), axis=1, kind="stable")[:, :_MAX_NEIGHBOURS]
        neighbour_vectors = np.take_along_axis(vectors, neighbour[:, :, None], axis=1)
        neighbour_residual = np.take_along_axis(residual, neighbour, axis=1)
    else:
        neighbour, neighbour_vectors, neighbour_residual = (
            np.arange(vectors.shape[1])[None],
            vectors,
            residual,
        )
    kernel = vectors @ neighbour_vectors.transpose(0, 2, 1)
    kernel = np.exp(np.float32(KERNEL_SHARPNESS) * (kernel - np.float32(1)))
    np.put_along_axis(kernel, neighbour[:, None, :], np.float32(0), axis=1)
    neighbour_residual = np.stack([neighbour_residual, np.ones_like(neighbour_residual)], axis=2)
    means = []
    for _ in range(3):
        sums = kernel @ neighbour_residual
        means.append(sums[:, :, 0] / (sums[:, :, 1] + np.float32(SHRINKAGE)))
        kernel *= kernel
    return np.stack(means, axis=2)


def _average_others(keys: Int64, residual: Float64) -> Float64:
    """Return the shrunken mean residual of the other rows with the same key, (p,)."""
    sums = np.bincount(keys, weights=residual)[keys] - residual
    return np.asarray(sums / (np.bincount(keys)[keys] - 1 + SHRINKAGE))


def fit_log_odds(prior_log_odds: Float64, features: Float64, relevance: Float64) -> Float64:
    """Return the log odds of relevance before a pair's own clicks, given its neighbours, (p,).

    prior_log_odds: (p,).  features: (p, k).  relevance: (p,), the posterior so far.
    prior_log_odds + b0 + features b, where b is fitted to `relevance` by logistic regression with a
    ridge penalty |b|^2 / 2, which holds the coefficients near 0, by Newton's method.
    """
    columns = np.concatenate([np.ones((len(features), 1)), features], axis=1)
    coefficients, objective = np.zeros(columns.shape[1]), _log_likelihood(prior_log_odds, relevance)
    for _ in range(_MAX_NEWTON_STEPS):
        probability = expit(prior_log_odds + columns @ coefficients)
        gradient = columns.T @ (relevance - probability) - coefficients
        variance = np.maximum(probability * (1 - probability), 1e-9)
        hessian = (columns * variance[:, None]).T @ columns + np.eye(len(coefficients))
        step = np.linalg.solve(hessian, gradient)
        for _ in range(_MAX_NEWTON_STEPS):
            candidate = coefficients + step
            candidate_objective = (
                _log_likelihood(prior_log_odds + columns @ candidate, relevance)
                - float(candidate @ candidate) / 2
            )
            if candidate_objective >= objective:
                break
            step /= 2
        if candidate_objective <= objective + 1e-6 * abs(objective):
            break
        coefficients, objective = candidate, candidate_objective
    return np.asarray(prior_log_odds + columns @ coefficients)


def _log_likelihood(log_odds: Float64, relevance: Float64) -> float:
    return float((relevance * log_odds - np.logaddexp(0.0, log_odds)).sum())
