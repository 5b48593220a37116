"""The top k of a product without the product: those of a full sort, ties included."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from nudge_sync.solve import topk
from nudge_sync.solve.geometry import unit


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.one_of(st.integers(1, 12), st.integers(13, 700)),
    st.sampled_from(["cosine", "dot"]),
    st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_the_best_are_those_of_a_full_sort(seed, k, similarity, kind):
    random = np.random.default_rng(seed)
    n, q = int(random.integers(0, 5000)), int(random.integers(1, 30))
    documents = random.normal(size=(n, 6)).astype(kind)
    queries = unit(random.normal(size=(q, 6))).astype(np.float32)
    skip = np.flatnonzero(random.random(n) < 0.3)
    is_excluded = random.random((q, n)) < random.choice([0, 0.01, 0.5])
    # Zeros that are stored exclude nothing.
    excluded = csr_matrix(np.where(is_excluded, 2.0, 1.0))
    excluded.data -= 1
    found = topk.find_top_k(
        queries, documents, k, skip=skip, similarity=similarity, excluded=excluded
    )
    known = documents.astype(np.float32)
    if similarity == "cosine":
        known = unit(known).astype(np.float32)
    scores = queries @ known.T
    scores[:, skip] = -np.inf
    scores[is_excluded] = -np.inf
    expected = -np.sort(-scores, axis=1)[:, :k]
    expected = np.pad(expected, ((0, 0), (0, k - expected.shape[1])), constant_values=-np.inf)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5, atol=1e-6)
    assert ((found.rows < 0) == ~np.isfinite(found.scores)).all()
    assert not np.isin(found.rows, skip).any()
    query, column = np.nonzero(found.rows >= 0)
    assert not is_excluded[query, found.rows[query, column]].any()


def test_a_mapped_read_only_file_is_read_in_place(tmp_path):
    random = np.random.default_rng(0)
    documents = unit(random.normal(size=(3000, 5))).astype(np.float32)
    np.save(tmp_path / "documents.npy", documents)
    mapped = np.load(tmp_path / "documents.npy", mmap_mode="r")
    queries = documents[:4]
    np.testing.assert_array_equal(
        topk.find_top_k(queries, mapped, 3).rows, topk.find_top_k(queries, documents, 3).rows
    )


def test_documents_that_are_not_finite_are_not_found():
    random = np.random.default_rng(1)
    documents = random.normal(size=(4000, 5)).astype(np.float32)
    documents[::3] = np.nan
    documents[1::3, 2] = np.inf
    queries = unit(random.normal(size=(3, 5))).astype(np.float32)
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        for similarity in ("cosine", "dot"):
            found = topk.find_top_k(queries, documents, 10, similarity=similarity)
            assert ((found.rows >= 0) & (found.rows % 3 == 2)).all()


def test_scores_at_or_below_the_floor_are_left_out():
    queries = np.eye(2, dtype=np.float32)
    documents = np.array([[1, 0], [0.5, 0], [0, 0.25]], np.float32)
    floor = np.array([0.5, -1.0], np.float32)
    found = topk.find_top_k(queries, documents, 2, similarity="dot", floor=floor)
    assert found.rows[0].tolist() == [0, -1]
    assert found.rows[1, 0] == 2


def test_of_equal_scores_the_smaller_rows_are_kept_whatever_the_threads(monkeypatch):
    documents = np.ones((9000, 4), np.float32)
    queries = unit(np.ones((3, 4))).astype(np.float32)
    found = topk.find_top_k(queries, documents, 5)
    assert (found.rows == np.arange(5)).all()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    np.testing.assert_array_equal(topk.find_top_k(queries, documents, 5).rows, found.rows)


def test_more_queries_than_a_block_and_documents_sorted_worst_first():
    random = np.random.default_rng(3)
    documents = unit(random.normal(size=(7000, 4))).astype(np.float32)
    documents = documents[np.argsort(documents[:, 0])]
    queries = unit(random.normal(size=(1500, 4)) * 0.1 + [1, 0, 0, 0]).astype(np.float32)
    found = topk.find_top_k(queries, documents, 10)
    scores = np.sort(queries @ documents.T, axis=1)[:, :-11:-1]
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)
    own = np.einsum("qd,qkd->qk", queries, documents[found.rows])
    np.testing.assert_allclose(own, found.scores, atol=1e-6)
