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


def make_topics(seed, topics=12, size=6, d=48):
    """Documents of several topics, which their vectors hardly show, and queries of two kinds.

    One kind comes near the first document of a topic, and the other near the last; all documents
    of the topic answer both.
    """
    random = np.random.default_rng(seed)
    documents = unit(random.normal(size=(topics * size, d)))
    topic = np.repeat(np.arange(topics), size)
    relevance = np.repeat(np.eye(topics), 5, axis=0)[:, topic]
    firsts, lasts = documents[::size], documents[size - 1 :: size]
    kinds = [
        unit(np.repeat(place, 5, axis=0) + 0.6 * unit(random.normal(size=(5 * topics, d))))
        for place in (firsts, lasts)
    ]
    return documents.astype(np.float32), [kind.astype(np.float32) for kind in kinds], relevance


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


def make_gap_problem(seed=0, own=1.0, gap=0.7, documents=200, d=16):
    """Points of which half are judged, queries on those, buckets, and what tells of the others.

    A query lies off its document in a direction of that document's own, and in one that all queries
    share, so that whatever learns the latter brings judged points nearer to every query. The last
    item holds all documents, queries that unjudged ones answer, and their answers.
    """
    random = np.random.default_rng(seed)
    points, aside = (unit(random.normal(size=(documents, d))) for _ in range(2))
    shared = gap * unit(random.normal(size=(1, d)))

    def ask(answers):
        noise = 0.6 * unit(random.normal(size=(len(answers), d)))
        return unit(points[answers] + own * aside[answers] + shared + noise).astype(np.float32)

    answers = random.integers(0, documents // 2, size=900)
    cold_answers = np.arange(documents // 2, documents).repeat(5)
    vectors, cold_queries = ask(answers), ask(cold_answers)
    points = points.astype(np.float32)
    judged = np.unique(answers)
    columns = np.searchsorted(judged, answers)
    relevance = csr_matrix((np.ones(len(answers)), (np.arange(len(answers)), columns)))
    rest = find_top_k(vectors, points, 10, skip=judged).scores
    queries = JudgedQueries(vectors, relevance, rest)
    return points[judged], queries, np.arange(900) % 10, (points, cold_queries, cold_answers)


def make_contrast_problem(seed, n=30, q=40, d=8):
    """Points, queries, grades of -1, 0 and 1, and unjudged scores for NUDGE-C."""
    random = np.random.default_rng(seed)
    points = unit(random.normal(size=(n, d))).astype(np.float32)
    queries = unit(random.normal(size=(q, d))).astype(np.float32)
    grades = random.integers(-1, 2, size=(q, n)) * (random.random((q, n)) < 0.1)
    rivals = -np.sort(random.uniform(-1, 1, size=(q, 5)), axis=1).astype(np.float32)
    return points, queries, grades, rivals
