"""What became of one document, from rankings made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nudge_sync.solve.topk import TopK
from nudge_sync.tuning.explain import QueryInfluence, RankChange, explain_document

OLD, NEW = np.array([2.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)
QUERIES = np.array([[1, 0], [0, 1], [0, -1]], np.float32)


def make_ranking(rows: list[list[int]]) -> TopK:
    return TopK(np.zeros((len(rows), 2), np.float32), np.array(rows))


def explain(similarity="cosine"):
    """Document 4: first for query 0 before, second for query 1 after."""
    return explain_document(
        4,
        OLD,
        NEW,
        queries=QUERIES,
        relevance=csr_matrix(([1.0, -1.0], ([1, 2], [4, 4])), shape=(3, 6)),
        attraction=csr_matrix(([1.0, 3.0], ([0, 1], [4, 4])), shape=(3, 6)),
        rankings=(
            make_ranking([[4, 1], [1, 2], [4, 0]]),
            make_ranking([[1, 2], [1, 4], [0, 4]]),
        ),
        similarity=similarity,
    )


def test_shares_are_of_all_weights_and_the_heaviest_comes_first():
    assert explain().pulls == [
        QueryInfluence(query=1, share=0.75, before=0.0, after=1.0),
        QueryInfluence(query=0, share=0.25, before=1.0, after=0.0),
    ]


def test_by_dot_product_scores_have_the_documents_length():
    assert [(pull.before, pull.after) for pull in explain("dot").pulls] == [(0.0, 1.0), (2.0, 0.0)]


def test_only_entering_or_leaving_the_first_ranks_is_a_change():
    explanation = explain()

    assert explanation.wins == [RankChange(query=1, relevant=True, before=None, after=2)]
    assert explanation.loses == [RankChange(query=0, relevant=False, before=1, after=None)]


def test_the_angle_is_exact_also_where_it_is_small():
    assert explain().angle == pytest.approx(np.pi / 2)
    turned = np.array([np.cos(1e-4), np.sin(1e-4)], np.float32)
    explanation = explain_document(
        0,
        OLD,
        turned,
        queries=QUERIES,
        relevance=csr_matrix((3, 1)),
        attraction=csr_matrix((3, 1)),
        rankings=(make_ranking([[0, 1]] * 3), make_ranking([[0, 1]] * 3)),
        similarity="cosine",
    )
    assert explanation.angle == pytest.approx(1e-4, rel=1e-3)
    assert explanation.moved
    assert (explanation.pulls, explanation.wins, explanation.loses) == ([], [], [])
