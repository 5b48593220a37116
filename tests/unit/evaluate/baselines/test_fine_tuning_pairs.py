"""The batches that `benchmarks/ptft` fine-tunes a model on."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ptft.pairs import draw_batches, list_pairs

QUERIES = np.array([7, 3, 5, 0, 9])
ANSWERS = [[2], [2, 4], [0], [4], [1, 2, 3]]
KNOWN = {
    (int(query), one) for query, answers in zip(QUERIES, ANSWERS, strict=True) for one in answers
}


def draw(size: int, seed: int = 0):
    return list(draw_batches(list_pairs(QUERIES, ANSWERS), size, np.random.default_rng(seed)))


@pytest.mark.parametrize("size", [1, 3, 8, 100])
def test_each_answer_of_each_query_is_the_target_once(size):
    drawn = [
        (int(query), int(batch.documents[target]))
        for batch in draw(size)
        for query, target in zip(batch.queries, batch.targets, strict=True)
    ]
    assert sorted(drawn) == sorted(KNOWN)
    assert [len(batch.queries) for batch in draw(size)][:-1] == [size] * ((len(KNOWN) - 1) // size)


@pytest.mark.parametrize("size", [3, 8, 100])
def test_no_answer_of_a_query_is_its_negative(size):
    for batch in draw(size):
        assert len(set(batch.documents)) == len(batch.documents)
        for query, target, others in zip(
            batch.queries, batch.targets, batch.other_answers, strict=True
        ):
            expected = [(int(query), int(one)) in KNOWN for one in batch.documents]
            expected[target] = False
            assert others.tolist() == expected


def test_a_batch_of_everything_holds_another_answer():
    (batch,) = draw(100)
    assert batch.documents.tolist() == [0, 1, 2, 3, 4]
    assert batch.other_answers.sum() == 2 + 6


def test_the_order_is_the_generators():
    assert [batch.queries.tolist() for batch in draw(3, seed=1)] == [
        batch.queries.tolist() for batch in draw(3, seed=1)
    ]
    assert [batch.queries.tolist() for batch in draw(3, seed=1)] != [
        batch.queries.tolist() for batch in draw(3, seed=2)
    ]
