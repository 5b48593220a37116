"""The recall of an index that misses points is what counting them by hand gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nudge_sync.base.progress import ignore_progress
from nudge_sync.connector import Collection, CollectionFacts, Float32, Hits
from nudge_sync.planning.unjudged.index_recall import (
    MAX_EXACT_BYTES,
    SAMPLE_QUERIES,
    WIDE_ANSWER,
    choose_reference,
    compute_recall,
    measure_index_recall,
)
from nudge_sync.planning.unjudged.search import search_unjudged
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.memory import MemoryDatabase
from nudge_sync.testing.wrapping import WrappedDatabase
from tests.support.unit_vectors import make_unit_rows

DEPTH = 10
POINTS = 600


class LossyCollection:
    """A collection whose index knows the even points alone, unless it is asked for very many."""

    def __init__(self, collection: Collection, *, exact_search: bool) -> None:
        self._collection = collection
        self._exact_search = exact_search
        self.thorough_queries: list[Float32] = []

    def __getattr__(self, name: str):
        return getattr(self._collection, name)

    def describe(self) -> CollectionFacts:
        return replace(self._collection.describe(), exact_search=self._exact_search)

    def search(self, queries: Float32, k: int, *, exact: bool = False) -> Hits:
        hits = self._collection.search(queries, POINTS)
        if exact or k >= WIDE_ANSWER:
            self.thorough_queries.append(queries)
            return Hits([ids[:k] for ids in hits.ids], [scores[:k] for scores in hits.scores])
        kept = [[row for row, point in enumerate(ids) if point % 2 == 0][:k] for ids in hits.ids]
        return Hits(
            [[ids[row] for row in rows] for ids, rows in zip(hits.ids, kept, strict=True)],
            [scores[rows] for scores, rows in zip(hits.scores, kept, strict=True)],
        )


class LossyDatabase(WrappedDatabase):
    def __init__(self, vectors: Float32, *, exact_search: bool = True) -> None:
        database = MemoryDatabase()
        database.store.create("docs", vectors.shape[1])
        database.store.upsert("docs", list(range(len(vectors))), vectors)
        super().__init__(database)
        self.lossy = LossyCollection(database.collection("docs"), exact_search=exact_search)

    def collection(self, name: str, vector: str = "") -> Collection:
        return self.lossy


def measure(target: Target, queries: Float32, ids_in_play: set[int], *, exact: bool = False):
    found = search_unjudged(
        target, queries, ids_in_play, DEPTH, exact=exact, progress=ignore_progress
    )
    return measure_index_recall(
        target, queries, found, ids_in_play, depth=DEPTH, progress=ignore_progress
    )


def count_by_hand(vectors: Float32, queries: Float32, ids_in_play: set[int]) -> float:
    """Return the share of the ten nearest unjudged points that are even."""
    unjudged = np.array([row for row in range(len(vectors)) if row not in ids_in_play])
    order = np.argsort(-(queries @ vectors[unjudged].T), axis=1)[:, :DEPTH]
    return float((unjudged[order] % 2 == 0).mean())


@pytest.mark.parametrize(("exact_search", "reference"), [(True, "exact"), (False, "wide")])
def test_recall_is_the_share_of_the_nearest_unjudged_points_that_the_index_found(
    exact_search, reference
):
    vectors, queries = make_unit_rows(POINTS, 8, 0), make_unit_rows(20, 8, 1)
    database = LossyDatabase(vectors, exact_search=exact_search)
    ids_in_play = set(range(0, POINTS, 5))

    recall = measure(open_target(database, "docs"), queries, ids_in_play)

    expected = count_by_hand(vectors, queries, ids_in_play)
    assert 0.3 < expected < 0.7
    assert recall.share == pytest.approx(expected)
    assert (recall.queries, recall.reference) == (20, reference)


def test_of_many_queries_a_sample_is_asked_again_always_the_same():
    vectors, queries = make_unit_rows(POINTS, 8, 0), make_unit_rows(300, 8, 1)
    database = LossyDatabase(vectors)
    target = open_target(database, "docs")

    first, second = measure(target, queries, set()), measure(target, queries, set())

    assert (first, first.queries) == (second, SAMPLE_QUERIES)
    samples = database.lossy.thorough_queries
    np.testing.assert_array_equal(*samples)
    assert {row.tobytes() for row in samples[0]} <= {row.tobytes() for row in queries}
    assert first.share == pytest.approx(count_by_hand(vectors, samples[0], set()))


def test_without_an_index_or_queries_or_unjudged_points_there_is_no_recall():
    vectors, queries = make_unit_rows(POINTS, 8, 0), make_unit_rows(5, 8, 1)
    database = LossyDatabase(vectors)
    target = open_target(database, "docs")
    assert measure(target, queries, set(), exact=True) is None
    assert measure(target, queries[:0], set()) is None
    assert measure(target, queries, set(range(POINTS))) is None


def test_points_of_equal_score_are_as_good_as_each_other():
    best = np.array([0.9, 0.5, 0.5], np.float32)
    assert compute_recall(np.array([0.9, 0.5, 0.5, 0.5], np.float32), best) == 1
    assert compute_recall(np.array([0.9, 0.5 - 1e-7], np.float32), best) == pytest.approx(2 / 3)
    assert compute_recall(np.array([0.9, 0.4], np.float32), best) == pytest.approx(1 / 3)
    assert compute_recall(np.empty(0, np.float32), best) == 0


def test_what_would_take_minutes_to_search_exactly_is_searched_widely():
    facts = open_target(LossyDatabase(make_unit_rows(4, 8, 0)), "docs").facts
    largest = MAX_EXACT_BYTES // (4 * facts.dimension)
    assert choose_reference(replace(facts, points=largest)) == "exact"
    assert choose_reference(replace(facts, points=largest + 1)) == "wide"
    assert choose_reference(replace(facts, exact_search=False)) == "wide"
