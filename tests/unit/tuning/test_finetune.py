"""Never worse than its input: odd input has a defined result or an error that says what to do."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_matrix

from nudge_sync import finetune
from nudge_sync.errors import InputError
from nudge_sync.solve.geometry import lengths, unit

METHODS = ["nudge-n", "nudge-c", "auto", "nothing"]


def make_problem(seed=0, n=200, q=300, d=16):
    random = np.random.default_rng(seed)
    documents = unit(random.normal(size=(n, d)))
    aside = unit(random.normal(size=(n, d)))
    answers = random.integers(0, n // 4, size=q)
    queries = documents[answers] + aside[answers] + 0.5 * unit(random.normal(size=(q, d)))
    relevant = [[int(one)] for one in answers]
    train, validation = slice(0, q * 4 // 5), slice(q * 4 // 5, q)
    queries = unit(queries).astype(np.float32)
    return (
        documents.astype(np.float32),
        queries[train],
        relevant[train],
        queries[validation],
        relevant[validation],
    )


@st.composite
def problems(draw):
    n, d = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    value = st.one_of(st.floats(-2, 2, width=32), st.sampled_from([0.0, 1.0, -1.0, 1e-30, 1e18]))
    documents = draw(arrays(np.float32, (n, d), elements=value))

    def asked():
        count = draw(st.integers(0, 6))
        queries = draw(arrays(np.float32, (count, d), elements=value))
        grades = st.dictionaries(
            st.integers(0, n - 1), st.sampled_from([-1.0, 0.0, 1.0, 2.0]), max_size=3
        )
        rows = st.lists(st.integers(0, n - 1), max_size=4)
        return queries, [draw(st.one_of(grades, rows)) for _ in range(count)]

    return documents, *asked(), *asked()


@settings(max_examples=200, deadline=None)
@given(
    problems(),
    st.sampled_from([*METHODS, "nudge-m"]),
    st.sampled_from(["ndcg@10", "recall@1", "mrr@10"]),
    st.sampled_from([None, 0.0, 0.3, 1.5]),
    st.sampled_from(["cosine", "dot"]),
)
def test_whatever_comes_in_a_finite_result_or_an_input_error_comes_out(
    problem, method, metric, angle, similarity
):
    kept = [np.array(one) for one in (problem[0], problem[1], problem[3])]
    similarity = "dot" if method == "nudge-m" else similarity
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        try:
            fit = finetune(*problem, method, metric, angle, similarity=similarity)
        except InputError as error:
            message = str(error)
            fit = None
        documents = None if fit is None else fit.documents
    if fit is None:
        assert len(message) > 20
        return
    assert documents.shape == problem[0].shape
    assert documents.dtype == np.float32
    assert np.isfinite(documents).all()
    differs = np.flatnonzero((documents != problem[0]).any(axis=1))
    np.testing.assert_array_equal(fit.moved, differs)
    if method != "nudge-m":
        np.testing.assert_allclose(lengths(documents), lengths(problem[0]), rtol=1e-5)
    for before, after in zip(kept, (problem[0], problem[1], problem[3]), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("method", METHODS)
def test_the_chosen_settings_are_not_worse_on_validation(method):
    fit = finetune(*make_problem(), method=method)
    assert fit.scores[fit.method] >= fit.scores["nothing"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_judged_document_or_a_query_that_is_not_finite_is_named(bad):
    documents, queries, relevant, *validation_queries = make_problem()
    broken = documents.copy()
    broken[relevant[3][0], 2] = bad
    with pytest.raises(InputError, match=rf"documents\[{relevant[3][0]}\]"):
        finetune(broken, queries, relevant, *validation_queries)
    wrong = queries.copy()
    wrong[7, 0] = bad
    with pytest.raises(InputError, match=r"train_queries\[7\]"):
        finetune(documents, wrong, relevant, *validation_queries)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_broken_document_that_nobody_judged_stays_as_it_is(bad):
    documents, *asked = make_problem()
    documents[150:] = bad
    fit = finetune(documents, *asked)
    assert len(fit.moved)
    assert fit.documents[150:].tobytes() == documents[150:].tobytes()


def test_a_zero_query_is_named():
    documents, queries, relevant, *validation_queries = make_problem()
    queries[4] = 0
    with pytest.raises(InputError, match=r"train_queries\[4\] is zero"):
        finetune(documents, queries, relevant, *validation_queries)


def test_a_row_out_of_range_is_named():
    documents, queries, relevant, *validation_queries = make_problem()
    for row in (200, -1):
        with pytest.raises(InputError, match=rf"train_relevant\[2\] names row {row}.*0 to 199"):
            finetune(documents, queries, [*relevant[:2], [row], *relevant[3:]], *validation_queries)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_relevant": [[0]]}, "entries for 240 queries"),
        ({"train_queries": np.ones((240, 3), np.float32)}, "one model"),
        ({"method": "nudge-m"}, "nudge-n"),
        ({"metric": "map"}, "ndcg@10"),
        ({"angle": -0.1}, "outside"),
        ({"angle": 2.0}, "outside"),
        ({"angle": "0.1"}, "outside"),
        ({"max_angle": -0.1}, "max_angle is -0.1; it is an angle in radians, 0 to pi/2"),
        ({"max_angle": np.nan}, "max_angle is nan"),
        ({"max_angle": 60}, "max_angle is 60"),
        ({"max_angle": None}, "max_angle is None"),
        ({"similarity": "euclid"}, "similarity is 'euclid'; there are: cosine, dot"),
        ({"similarity": "Cosine"}, "did you mean 'cosine'"),
        ({"method": "foo"}, "method is 'foo'; there are: auto, nothing, nudge-n, nudge-h"),
        ({"method": "NUDGE_N"}, "did you mean 'nudge-n'"),
        ({"method": None, "angle": 0.1}, "method is None"),
        ({"metric": None}, "no metric is called None"),
        ({"cold_share": "half"}, "cold_share is half"),
        ({"threads": -1}, "threads is -1"),
        ({"threads": None}, "threads is None"),
        ({"train_relevant": None}, "train_relevant is a NoneType"),
        ({"documents": np.ones(5)}, r"\(n, d\)"),
        ({"train_weights": np.ones(3)}, "train_weights"),
        ({"train_weights": -np.ones(240)}, "negative"),
        ({"train_weights": np.full(240, 1e-300)}, "the largest of train_weights is 1e-300"),
        ({"train_weights": [{0: 1e39}] * 240}, "the largest of train_weights is 1e\\+39"),
        ({"candidates": np.zeros((9, 400), int)[0]}, "candidates"),
        ({"train_relevant": [["a"]] * 240}, "row numbers"),
        ({"train_relevant": [{0: np.nan}] * 240}, "not a finite number"),
    ],
)
def test_errors_say_what_to_do(change, words):
    names = [
        "documents",
        "train_queries",
        "train_relevant",
        "validation_queries",
        "validation_relevant",
    ]
    arguments = {**dict(zip(names, make_problem(), strict=True)), **change}
    with pytest.raises(InputError, match=words):
        finetune(**arguments)


def test_queries_of_any_length_and_documents_of_any_type_give_the_same():
    documents, queries, relevant, validation_queries, answers = make_problem()
    plain = finetune(documents, queries, relevant, validation_queries, answers)
    longer = finetune(documents, queries * 7, relevant, validation_queries * 0.1, answers)
    np.testing.assert_allclose(plain.documents, longer.documents, atol=1e-6)
    wide = finetune(documents.astype(np.float64), queries, relevant, validation_queries, answers)
    assert wide.documents.tobytes() == plain.documents.tobytes()
    half = finetune(documents.astype(np.float16), queries, relevant, validation_queries, answers)
    assert half.documents.dtype == np.float32


def test_a_judgement_given_twice_counts_once():
    documents, queries, relevant, *validation_queries = make_problem()
    twice = finetune(documents, queries, [one * 2 for one in relevant], *validation_queries)
    assert (
        twice.documents.tobytes()
        == finetune(documents, queries, relevant, *validation_queries).documents.tobytes()
    )


@pytest.mark.parametrize("method", METHODS)
def test_without_training_or_validation_nothing_breaks(method):
    documents, queries, relevant, validation_queries, answers = make_problem()
    none = np.empty((0, 16), np.float32)
    assert len(finetune(documents, none, [], validation_queries, answers, method).moved) == 0
    folds = finetune(documents, queries, relevant, none, [], method)
    assert folds.scores["nothing"] <= folds.scores[folds.method]
    assert len(finetune(documents, none, [], method=method).moved) == 0
    assert (
        len(
            finetune(
                documents, queries, [[] for _ in relevant], validation_queries, answers, method
            ).moved
        )
        == 0
    )


def test_opposing_pulls_leave_a_document_where_it_is():
    documents = np.array([[1.0, 0.0]], np.float32)
    queries = np.array([[0.0, 1.0], [0.0, -1.0]], np.float32)
    fit = finetune(documents, queries, [[0], [0]], angle=0.5)
    assert fit.documents.tobytes() == documents.tobytes()


def test_a_document_identical_to_its_query_stays():
    documents = unit(np.random.default_rng(0).normal(size=(5, 8))).astype(np.float32)
    fit = finetune(documents, documents[:1], [[0]], angle=0.5)
    np.testing.assert_allclose(fit.documents, documents, atol=1e-7)


def test_weights_of_zero_are_no_judgement():
    documents, queries, relevant, *validation_queries = make_problem()
    weights = (np.arange(len(queries)) < 100).astype(float)
    fewer = finetune(
        documents, queries, relevant, *validation_queries, angle=0.3, train_weights=weights
    )
    assert set(fewer.moved) == {one[0] for one in relevant[:100]}
    each = finetune(
        documents,
        queries,
        relevant,
        *validation_queries,
        angle=0.3,
        train_weights=[{one[0]: weight} for one, weight in zip(relevant, weights, strict=True)],
    )
    assert each.documents.tobytes() == fewer.documents.tobytes()


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_candidates_from_a_search_give_what_a_scan_gives(similarity):
    documents, queries, relevant, validation_queries, answers = make_problem()
    asked_for = validation_queries
    if similarity == "dot":
        # Each query of another length, as a model without normalisation gives them.
        asked_for = validation_queries * np.geomspace(1, 30, len(validation_queries))[:, None]
    problem = (documents, queries, relevant, asked_for, answers)
    scan = finetune(*problem, similarity=similarity)
    ranked = np.argsort(-(asked_for @ documents.T), axis=1, kind="stable")[:, :80]
    found = np.take_along_axis(asked_for @ documents.T, ranked, axis=1)
    for candidates in (ranked, (ranked, found.astype(np.float32))):
        given = finetune(*problem, candidates=candidates, similarity=similarity)
        assert given.parameters == scan.parameters
        assert given.documents.tobytes() == scan.documents.tobytes()


def test_a_sparse_matrix_is_taken_as_judgements():
    documents, queries, relevant, validation_queries, answers = make_problem()
    grades = csr_matrix(
        (np.ones(240), (np.arange(240), [one[0] for one in relevant])), shape=(240, 200)
    )
    one = finetune(documents, queries, grades, validation_queries, answers)
    assert (
        one.documents.tobytes()
        == finetune(documents, queries, relevant, validation_queries, answers).documents.tobytes()
    )


def test_the_order_of_the_columns_of_a_sparse_matrix_makes_no_difference():
    documents, queries, relevant, validation_queries, answers = make_problem()
    columns = np.random.default_rng(1).permutation(200)
    several = [{row: 2.0, (row + 7) % 200: 1.0, (row + 60) % 200: 0.0} for [row] in relevant]
    cells = [(query, row, grade) for query, one in enumerate(several) for row, grade in one.items()]
    query, row, grade = (np.array(column) for column in zip(*cells, strict=True))
    by_id = csr_matrix((grade, (query, columns[row])), shape=(240, 200))
    shuffled = by_id[:, columns]
    assert not shuffled.has_sorted_indices
    for method in ("nudge-n", "auto"):
        one, other = (
            finetune(documents, queries, relevance, validation_queries, answers, method)
            for relevance in (several, shuffled)
        )
        assert (one.method, one.parameters, one.scores) == (
            other.method,
            other.parameters,
            other.scores,
        )
        assert one.documents.tobytes() == other.documents.tobytes()
    assert not shuffled.has_sorted_indices


@pytest.mark.parametrize("method", ["nudge-n", "auto"])
def test_a_query_given_twice_does_not_validate_itself(method):
    documents, queries, relevant, *_ = make_problem()
    queries, relevant = queries[:237], relevant[:237]
    once = finetune(documents, queries, relevant, method=method)
    twice = finetune(documents, np.tile(queries, (2, 1)), relevant * 2, method=method)
    for name in ("nothing", "nudge-n"):
        assert twice.scores[name] == pytest.approx(once.scores[name], abs=1e-6)


def test_a_mapped_read_only_file_is_left_alone_and_costs_no_copy(tmp_path):
    documents, *asked = make_problem(n=20_000, d=64, q=100)
    np.save(tmp_path / "documents.npy", documents)
    mapped = np.load(tmp_path / "documents.npy", mmap_mode="r")
    tracemalloc.start()
    fit = finetune(mapped, *asked, angle=0.3)
    moved = fit.documents
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < documents.nbytes
    assert moved.tobytes() == finetune(documents, *asked, angle=0.3).documents.tobytes()
    assert (tmp_path / "documents.npy").read_bytes()[-documents.nbytes :] == documents.tobytes()


def test_a_moved_document_explains_itself():
    documents, queries, relevant, validation_queries, answers = make_problem()
    fit = finetune(documents, queries, relevant, validation_queries, answers)
    row = int(fit.moved[0])
    told = fit.explain(row)
    pulling = [number for number, one in enumerate(relevant) if one == [row]]
    assert sorted(one.query for one in told.pulls) == pulling
    assert sum(one.share for one in told.pulls) == pytest.approx(1)
    assert told.moved
    assert 0 < told.angle <= fit.parameters["angle"] + 1e-6
    assert np.mean([one.after - one.before for one in told.pulls]) > 0
    every = [fit.explain(int(one)) for one in fit.moved[:20]]
    assert any(shift.relevant for one in every for shift in one.wins)


def test_a_document_that_stays_explains_that_too():
    fit = finetune(*make_problem())
    told = fit.explain(199)
    assert (told.moved, told.angle, told.pulls) == (False, pytest.approx(0), [])
    with pytest.raises(InputError, match="no row 200"):
        fit.explain(200)
