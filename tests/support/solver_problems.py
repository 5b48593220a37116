"""Small random problems for the solver, and brute-force answers to them."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from nudge_sync import metrics
from nudge_sync.solve.geometry import unit
from nudge_sync.solve.line_search.curves import build_curves
from nudge_sync.solve.line_search.paths import build_paths, compute_pulls, move_points
from nudge_sync.solve.line_search.step_function import build_step_function
from nudge_sync.solve.problem import JudgedQueries
from nudge_sync.solve.relevance import ideal_scores
from nudge_sync.solve.score import metric_values
from nudge_sync.solve.topk import find_top_k


def make_learnable_problem(seed=0, documents=300, queries=400, d=24, shift=0.5, noise=0.5):
    """Judged points, and queries that lie off their document in a direction each document has."""
    random = np.random.default_rng(seed)
    points = unit(random.normal(size=(documents, d)))
    aside = unit(random.normal(size=(documents, d)))
    answers = random.integers(0, documents // 4, size=queries)
    answer_rows = (
        points[answers] + shift * aside[answers] + noise * unit(random.normal(size=(queries, d)))
    )
    answer_rows = unit(answer_rows).astype(np.float32)
    points = points.astype(np.float32)
    judged = np.unique(answers)
    relevance = csr_matrix(
        (np.ones(queries), (np.arange(queries), np.searchsorted(judged, answers))),
        shape=(queries, len(judged)),
    )
    rest = find_top_k(answer_rows, points, 10, skip=judged).scores
    return points[judged], JudgedQueries(answer_rows, relevance, rest), np.arange(queries) % 10


def make_line_search_problem(seed, similarity):
    """Points, training queries, their attraction, and validation queries with random answers."""
    random = np.random.default_rng(seed)
    n, d, train_count, validation_count = random.integers(1, 50), random.integers(2, 12), 20, 15
    points = random.normal(size=(n, d)).astype(np.float32)
    if similarity == "cosine":
        points = unit(points).astype(np.float32)
    queries = unit(random.normal(size=(train_count + validation_count, d))).astype(np.float32)
    grades = random.integers(-1, 4, size=(len(queries), n)) * (
        random.random((len(queries), n)) < 0.2
    )
    grades[train_count:, random.integers(n)] = 1
    k = random.integers(0, 10)
    unjudged = np.full((validation_count, 10), -np.inf, np.float32)
    unjudged[:, :k] = -np.sort(-random.uniform(-1, 1, size=(validation_count, k)), axis=1)
    attraction = csr_matrix((grades[:train_count] > 0).astype(float))
    validation = JudgedQueries(
        queries[train_count:], csr_matrix(grades[train_count:].astype(float)), unjudged
    )
    return points, queries[:train_count], attraction, validation


def find_exact_steps(problem, name, method, similarity, limit):
    """The step function of a line-search problem."""
    points, queries, attraction, validation = problem
    metric = metrics.parse_metric(name)
    point_paths = build_paths(
        points,
        compute_pulls(points, queries, attraction),
        method=method,
        similarity=similarity,
        limit=limit,
    )
    curves = build_curves(point_paths, validation, metric, limit)
    return build_step_function(curves, ideal_scores(validation.relevance, metric), metric, limit)


def score_by_brute_force(problem, name, method, similarity, angle):
    """The metric of each validation query after moving all points by one angle."""
    points, queries, attraction, validation = problem
    pulls = compute_pulls(points, queries, attraction)
    moved = move_points(points, pulls, method=method, angle=angle)
    return metric_values(moved, validation, name, similarity=similarity)


def has_no_ties(problem, method, similarity, angle):
    """(q,): whether no relevant point ties with another: two may have landed on one query."""
    points, queries, attraction, validation = problem
    pulls = compute_pulls(points, queries, attraction)
    moved = move_points(points, pulls, method=method, angle=angle)
    if similarity == "cosine":
        moved = unit(moved)
    scores, grades = validation.vectors @ moved.T, validation.relevance.toarray()
    tied = np.abs(scores[:, :, None] - scores[:, None, :]) < 1e-6
    return ~(tied & (grades[:, :, None] != grades[:, None, :])).any(axis=(1, 2))


def make_contrast_problem(seed, n=30, q=40, d=8):
    """Points, queries, grades of -1, 0 and 1, and unjudged scores for NUDGE-C."""
    random = np.random.default_rng(seed)
    points = unit(random.normal(size=(n, d))).astype(np.float32)
    queries = unit(random.normal(size=(q, d))).astype(np.float32)
    grades = random.integers(-1, 2, size=(q, n)) * (random.random((q, n)) < 0.1)
    rivals = -np.sort(random.uniform(-1, 1, size=(q, 5)), axis=1).astype(np.float32)
    return points, queries, grades, rivals
