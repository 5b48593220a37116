"""Each query is held out once, the first fifth is that of every cycle, and large logs have one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, eye_array, random_array

from nudge_sync.planning.fifths import (
    FIFTH_COUNT,
    MAX_HELD_OUT_QUERIES,
    count_evidence,
    find_bystanders,
    hold_out_fifth,
    hold_out_in_turn,
)
from nudge_sync.planning.held_out import HELD_OUT_SHARE, hash_queries
from nudge_sync.planning.judgement_matrices import JudgementMatrices
from nudge_sync.solve.problem import BUCKET_COUNT, JudgedQueries
from tests.support.judged_collection import make_labelled_collection


def make_queries(count: int) -> tuple[JudgedQueries, JudgementMatrices]:
    """Return queries whose only number and only answer is their row."""
    numbers = np.arange(count, dtype=np.float32)[:, None]
    relevance = csr_matrix(eye_array(count))
    queries = JudgedQueries(numbers, relevance, np.zeros((count, 10), np.float32))
    matrices = JudgementMatrices(relevance, relevance, has_only_labels=False, missing_count=0)
    return queries, matrices


def test_every_query_is_held_out_once_and_trains_for_all_other_fifths() -> None:
    queries, matrices = make_queries(300)
    hashes = hash_queries(queries.vectors)
    splits = hold_out_in_turn(queries, matrices, hashes, 100)
    assert len(splits) == FIFTH_COUNT
    held_out = np.concatenate([split.held_out_queries.vectors[:, 0] for split in splits])
    assert sorted(held_out.tolist()) == list(range(300))
    for split in splits:
        train = split.train_queries.vectors[:, 0].tolist()
        assert sorted([*train, *split.held_out_queries.vectors[:, 0]]) == list(range(300))
        assert split.weights is not None
        assert (split.weights != split.train_queries.relevance).nnz == 0
        assert split.bystanders.all()


def test_the_first_fifth_is_the_one_that_every_cycle_holds_out() -> None:
    queries, matrices = make_queries(300)
    hashes = hash_queries(queries.vectors)
    first = hold_out_in_turn(queries, matrices, hashes, 100)[0]
    expected = np.flatnonzero(hashes < HELD_OUT_SHARE)
    assert first.held_out_queries.vectors[:, 0].tolist() == expected.tolist()


@pytest.mark.parametrize("fifth", range(FIFTH_COUNT))
def test_training_queries_fall_into_tenths_of_about_one_size(fifth: int) -> None:
    queries, matrices = make_queries(4000)
    hashes = hash_queries(queries.vectors)
    split = hold_out_fifth(queries, matrices, hashes, fifth)
    counts = np.bincount(split.folds, minlength=BUCKET_COUNT)
    assert len(counts) == BUCKET_COUNT
    # The standard deviation of each count is about 17.
    assert counts.tolist() == pytest.approx([320] * BUCKET_COUNT, abs=80)


def test_with_queries_enough_the_first_fifth_is_held_out_alone() -> None:
    queries, matrices = make_queries(300)
    hashes = hash_queries(queries.vectors)
    enough = int((hashes < HELD_OUT_SHARE).sum())
    (only,) = hold_out_in_turn(queries, matrices, hashes, enough)
    assert len(only.held_out_queries) == enough
    assert len(hold_out_in_turn(queries, matrices, hashes, enough + 1)) == FIFTH_COUNT


def test_a_question_that_was_asked_often_is_one_of_those_that_are_enough():
    queries, matrices = make_queries(300)
    hashes = hash_queries(queries.vectors)
    hashes[hashes < HELD_OUT_SHARE] = 0.1
    assert len(hold_out_in_turn(queries, matrices, hashes, 2)) == FIFTH_COUNT
    judgements = make_labelled_collection().judgements
    vectors = judgements.query_vectors.copy()
    is_held_out = hash_queries(vectors) < HELD_OUT_SHARE
    vectors[is_held_out] = vectors[is_held_out][0]
    repeated = replace(judgements, query_vectors=vectors)
    assert count_evidence(repeated, 1) == (1, 1)
    assert count_evidence(repeated, 2) == (int((~is_held_out).sum()) + 1, FIFTH_COUNT)


def test_of_a_large_fifth_the_lowest_hashes_are_held_out_and_the_rest_does_nothing() -> None:
    count = 6 * MAX_HELD_OUT_QUERIES
    queries, matrices = make_queries(count)
    hashes = np.random.default_rng(0).permutation(count) / count
    (only,) = hold_out_in_turn(queries, matrices, hashes, 50)
    expected = np.flatnonzero(hashes < MAX_HELD_OUT_QUERIES / count)
    assert only.held_out_queries.vectors[:, 0].tolist() == expected.tolist()
    assert only.held_out_weights is not None
    assert only.held_out_weights[:, expected].diagonal().tolist() == [1] * len(expected)
    train = np.flatnonzero(hashes >= HELD_OUT_SHARE)
    assert only.train_queries.vectors[:, 0].tolist() == train.tolist()


def test_evidence_is_every_answered_query_of_a_small_log() -> None:
    judgements = make_labelled_collection().judgements
    enough = int((hash_queries(judgements.query_vectors) < HELD_OUT_SHARE).sum())
    assert count_evidence(judgements, enough) == (enough, 1)
    assert count_evidence(judgements, enough + 1) == (300, FIFTH_COUNT)
    gains = judgements.expected_gains
    unanswered = replace(judgements, expected_gains=replace(gains, gains=-np.abs(gains.gains)))
    assert count_evidence(unanswered, 1) == (0, FIFTH_COUNT)


@given(st.integers(0, 2**32))
def test_bystanders_share_no_relevant_point_with_what_trains(seed: int) -> None:
    rng = np.random.default_rng(seed)
    train, held_out = (csr_matrix(random_array((12, 15), density=0.1, rng=rng)) for _ in range(2))
    for one in (train, held_out):
        one.data = rng.integers(-1, 3, one.nnz).astype(float)
    known = (train.toarray() > 0).any(axis=0)
    expected = [not (row[known] > 0).any() for row in held_out.toarray()]
    assert find_bystanders(train, held_out).tolist() == expected
