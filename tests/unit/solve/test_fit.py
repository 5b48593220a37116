"""What can be learned is learned, chance is not, and every input is checked."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nudge_sync.errors import InputError
from nudge_sync.solve.fit import fit
from nudge_sync.solve.geometry import lengths, unit
from nudge_sync.solve.problem import JudgedQueries
from nudge_sync.solve.relevance import has_answer
from nudge_sync.solve.score import metric_values
from nudge_sync.solve.topk import find_top_k
from tests.support.solver_problems import make_gap_problem, make_learnable_problem


def measure_gain(method, seed=0, **options):
    points, queries, part = make_learnable_problem(seed, queries=600, **options)
    teach, test = np.arange(600) < 480, np.arange(600) >= 480
    choice = fit(points, queries.select(teach), part[teach], method=method)
    values = [
        metric_values(vectors, queries.select(test), "ndcg@10").mean()
        for vectors in (points, choice.vectors)
    ]
    return choice, values[1] - values[0]


@pytest.mark.parametrize("method", ["nudge-n", "nudge-h", "nudge-c", "auto"])
def test_what_can_be_learned_is_learned(method):
    choice, gain = measure_gain(method, shift=1.0)
    assert gain > 0.05
    assert method in {choice.method, "auto"}
    assert choice.scores[choice.method] > choice.scores["nothing"]


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_judgements_move_nothing(seed):
    points, queries, part = make_learnable_problem(seed)
    order = np.random.default_rng(seed).permutation(len(queries))
    shuffled = JudgedQueries(queries.vectors, queries.relevance[order], queries.unjudged)
    choice = fit(points, shuffled, part)
    assert choice.method == "nothing"
    assert len(choice.moved) == 0
    assert choice.vectors.tobytes() == points.tobytes()


@pytest.mark.parametrize("method", ["auto", "nudge-n", "nudge-h", "nudge-m", "nudge-c"])
def test_equal_input_gives_equal_bits_and_is_left_alone(method):
    points, queries, part = make_learnable_problem(shift=1.0)
    kept = points.copy()
    similarity = "dot" if method == "nudge-m" else "cosine"
    one, two = (fit(points, queries, part, method=method, similarity=similarity) for _ in range(2))
    assert one.vectors.tobytes() == two.vectors.tobytes()
    assert one.parameters == two.parameters
    assert one.reasons == two.reasons
    np.testing.assert_array_equal(points, kept)


@pytest.mark.parametrize("method", ["auto", "nudge-n", "nudge-h", "nudge-m", "nudge-c"])
def test_what_is_reported_can_be_written_as_json(method):
    points, queries, part = make_learnable_problem(shift=1.0)
    choice = fit(points, queries, part, method=method, similarity="dot")
    report = json.loads(json.dumps([choice.parameters, choice.scores, choice.reasons]))
    assert report[1]["nothing"] == choice.scores["nothing"]
    assert any("of 400 queries" in sentence for sentence in report[2])


def test_moved_rows_are_those_that_differ():
    points, queries, part = make_learnable_problem(shift=1.0)
    choice = fit(points, queries, part, method="nudge-n")
    differs = np.flatnonzero((choice.vectors != points).any(axis=1))
    np.testing.assert_array_equal(choice.moved, differs)
    assert len(differs) > 0


@pytest.mark.parametrize("method", ["nudge-n", "nudge-h", "nudge-c"])
def test_a_given_angle_is_kept_to(method):
    points, queries, part = make_learnable_problem(shift=1.0)
    choice = fit(points, queries, part, method=method, angle=0.2)
    turned = np.arccos(np.clip(np.einsum("ij,ij->i", unit(points), unit(choice.vectors)), -1, 1))
    assert 0.1 < turned.max() <= 0.2 + 1e-4


@pytest.mark.parametrize("method", ["auto", "nudge-n", "nudge-c"])
def test_queries_without_an_answer_have_no_say(method):
    points, queries, part = make_learnable_problem(shift=1.0)
    plain = fit(points, queries, part, method=method)
    silent = JudgedQueries(
        np.vstack([queries.vectors, queries.vectors[:50]]),
        csr_matrix(
            (
                np.ones(400),
                queries.relevance.indices,
                np.append(queries.relevance.indptr, [400] * 50),
            ),
            shape=(450, len(points)),
        ),
        np.vstack([queries.unjudged, queries.unjudged[:50]]),
    )
    more = fit(points, silent, np.append(part, np.arange(50) % 10), method=method)
    assert plain.method == more.method
    np.testing.assert_allclose(plain.vectors, more.vectors, atol=2e-3)
    assert has_answer(silent.relevance).sum() == 400


def test_too_few_queries_move_nothing_and_say_so():
    points, queries, part = make_learnable_problem()
    for count in (0, 1):
        choice = fit(points, queries.select(np.arange(count)), part[:count])
        assert choice.method == "nothing"
        assert "too few" in choice.reasons[0]


def test_nudge_m_on_a_cosine_collection_is_refused_with_a_way_out():
    points, queries, part = make_learnable_problem()
    with pytest.raises(InputError, match="nudge-n"):
        fit(points, queries, part, method="nudge-m")


@pytest.mark.parametrize(
    "option",
    [
        {"method": "nudge"},
        {"similarity": "l2"},
        {"max_angle": 2.0},
        {"max_angle": np.nan},
        {"threads": -1},
    ],
)
def test_an_option_that_does_not_exist_is_an_input_error(option):
    with pytest.raises(InputError, match=f"{next(iter(option))} is "):
        fit(*make_learnable_problem(), **option)


def test_lengths_are_kept_on_a_dot_collection():
    points, queries, part = make_learnable_problem(shift=1.0)
    points = (points * np.linspace(0.9, 1.1, len(points))[:, None]).astype(np.float32)
    for method in ("nudge-n", "nudge-c"):
        choice = fit(points, queries, part, method=method, similarity="dot")
        np.testing.assert_allclose(lengths(choice.vectors), lengths(points), rtol=1e-6)


@pytest.mark.parametrize("method", ["auto", "nudge-n", "nudge-h", "nudge-m", "nudge-c"])
@pytest.mark.parametrize("scale", [2.0**-28, 2.0**-4, 2.0**7, 2.0**60])
def test_a_dot_collection_times_a_number_moves_alike(method, scale):
    points, queries, part = make_learnable_problem(shift=1.0)
    points = (points * np.linspace(0.5, 2, len(points))[:, None]).astype(np.float32)
    one, other = (
        fit(
            points * np.float32(factor),
            replace(queries, unjudged=queries.unjudged * np.float32(factor)),
            part,
            method=method,
            similarity="dot",
        )
        for factor in (1.0, scale)
    )
    assert len(one.moved) > 0
    assert (one.vectors * np.float32(scale)).tobytes() == other.vectors.tobytes()
    assert (one.method, one.scores, one.reasons) == (other.method, other.scores, other.reasons)


def test_weights_decide_whom_a_point_follows():
    points = np.array([[1.0, 0.0, 0.0]], np.float32)
    ways = unit(np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])).astype(np.float32)
    queries = JudgedQueries(
        ways, csr_matrix(np.ones((2, 1))), np.full((2, 10), -np.inf, np.float32)
    )
    choice = fit(
        points, queries, np.arange(2), method="nudge-n", angle=0.3, weights=np.array([9, 1])
    )
    assert choice.vectors[0, 1] > 5 * choice.vectors[0, 2]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vectors", np.full((400, 24), np.nan, np.float32)),
        ("vectors", np.ones((400, 3), np.float32)),
        ("unjudged", np.full((400, 10), np.nan, np.float32)),
        ("unjudged", np.zeros((400, 9), np.float32)),
        ("relevance", csr_matrix((400, 3))),
    ],
)
def test_what_does_not_fit_together_is_an_input_error(field, value):
    points, queries, part = make_learnable_problem()
    broken = JudgedQueries(**{**queries.__dict__, field: value})
    with pytest.raises(InputError):
        fit(points, broken, part)


def score_cold_documents(choice, cold):
    """Recall@10 of documents that nobody judged, before and after the judged ones have moved."""
    documents, queries, answers = cold
    moved = documents.copy()
    moved[: len(choice.vectors)] = choice.vectors
    return [
        (find_top_k(queries, vectors, 10).rows == answers[:, None]).any(axis=1).mean()
        for vectors in (documents, moved)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_documents_without_feedback_are_spared_where_they_count(seed):
    points, queries, buckets, cold = make_gap_problem(seed)
    assert len(points) == 100
    blind, seeing = (fit(points, queries, buckets, cold_share=share) for share in (None, 0.6))
    before, after_blind = score_cold_documents(blind, cold)
    _, after_seeing = score_cold_documents(seeing, cold)
    assert after_blind < before - 0.08
    assert after_seeing > before - 0.02
    assert blind.cold is None
    assert seeing.cold.cold_share == 0.6
    assert seeing.cold.warm.low > 0
    assert seeing.cold.cold.low <= seeing.cold.cold.mean <= seeing.cold.cold.high


@pytest.mark.parametrize("seed", range(3))
def test_where_cold_answers_alone_count_nothing_is_gained_at_their_cost(seed):
    points, queries, buckets, cold = make_gap_problem(seed, own=0.0, gap=1.5)
    assert fit(points, queries, buckets, method="nudge-n").parameters["angle"] > 0
    assert fit(points, queries, buckets, method="nudge-n", cold_share=1.0).parameters["angle"] == 0
    before, after = score_cold_documents(fit(points, queries, buckets, cold_share=1.0), cold)
    assert after > before + 0.05


@pytest.mark.parametrize("method", ["auto", "nothing", "nudge-n", "nudge-h", "nudge-c"])
def test_a_report_on_cold_answers_comes_with_every_method(method):
    points, queries, buckets, _ = make_gap_problem()
    one, two = (fit(points, queries, buckets, method=method, cold_share=0.5) for _ in range(2))
    assert one.vectors.tobytes() == two.vectors.tobytes()
    assert one.cold == two.cold
    assert one.cold.cold.queries == 900
    assert (one.cold.cold.mean == 0) == (one.method == "nothing")
    # "auto" has no time for other numbers of neighbours than the default one.
    assert any("200: " in reason for reason in one.reasons) == (method == "nudge-h")


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan])
def test_a_share_that_is_none_is_an_input_error(share):
    with pytest.raises(InputError, match="cold_share"):
        fit(*make_learnable_problem(), cold_share=share)
