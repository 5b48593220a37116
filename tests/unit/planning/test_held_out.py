"""Measuring through an index gives what arithmetic gives, and splits stay where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array

from nudge_sync import cycle
from nudge_sync.base.progress import ignore_progress
from nudge_sync.config import GateSettings
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.metrics import METRIC_NAMES, RANKING_DEPTH
from nudge_sync.planning.held_out import (
    HELD_OUT_SHARE,
    HeldOutQueries,
    compare_live_scores,
    hash_queries,
    measure_live_scores,
    score_ranked_grades,
    score_runs,
    select_held_out,
    select_present_held_out,
)
from nudge_sync.solve.problem import JudgedQueries
from nudge_sync.solve.score import metric_values
from tests.support.judged_collection import SETTINGS, JudgedCollection, make_labelled_collection
from tests.support.unit_vectors import make_unit_rows


@pytest.fixture(scope="module")
def labelled() -> JudgedCollection:
    return make_labelled_collection()


def test_ranked_lists_score_what_vectors_score() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(size=(60, 8)).astype(np.float32)
    queries = rng.normal(size=(40, 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    relevance = csr_matrix(random_array((40, 60), density=0.1, rng=rng))
    relevance.data = rng.integers(-1, 4, relevance.nnz).astype(float)
    order = np.argsort(-(queries @ points.T), axis=1)[:, :RANKING_DEPTH]
    gains = np.maximum(np.take_along_axis(relevance.toarray(), order, axis=1), 0)
    found = score_ranked_grades(gains, relevance)
    no_unjudged = np.full((40, RANKING_DEPTH), -np.inf, np.float32)
    for name in METRIC_NAMES:
        expected = metric_values(points, JudgedQueries(queries, relevance, no_unjudged), name)
        assert found[name] == pytest.approx(expected)


def test_a_query_asked_twice_stays_on_one_side_of_every_split() -> None:
    queries = np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32)
    share = hash_queries(queries)
    assert (share == hash_queries(queries.copy())).all()
    assert ((share >= 0) & (share < 1)).all()
    assert np.mean(share < 0.2) == pytest.approx(0.2, abs=0.03)


def test_held_out_queries_are_a_fifth_and_only_they_have_rows(labelled: JudgedCollection) -> None:
    held_out = select_held_out(labelled.judgements, [])

    hashes = hash_queries(labelled.judgements.query_vectors)
    assert held_out.query_rows.tolist() == np.flatnonzero(hashes < HELD_OUT_SHARE).tolist()
    assert held_out.relevance.shape == (len(held_out), len(held_out.point_ids))
    answers = [labelled.data.answers[int(name[1:])] for name in labelled.judgements.query_ids]
    for number, row in enumerate(held_out.query_rows):
        columns = held_out.relevance[number].indices
        assert [held_out.point_ids[column] for column in columns] == [answers[row]]


def test_queries_without_an_answer_are_not_measured_and_hide_no_loss() -> None:
    judged = add_negative_queries(make_labelled_collection(), 600)
    held_out = select_held_out(judged.judgements, [])
    assert (held_out.relevance.max(axis=1).toarray() > 0).all()
    unanswered = {name for name in judged.judgements.query_ids if name.startswith("not-")}
    assert len(unanswered) == 600
    names = [judged.judgements.query_ids[row] for row in held_out.query_rows]
    assert unanswered.isdisjoint(names)

    answers = [judged.data.answers[int(name[1:])] for name in names]
    before = {row: [point] for row, point in enumerate(answers)}
    lost = round(0.018 * len(names) + 0.5)
    after = {row: ids for row, ids in before.items() if row >= lost}
    scores = [score_runs(held_out, runs) for runs in (before, after)]
    assert scores[0]["ndcg@10"] == 1
    assert compare_live_scores(*scores, "ndcg@10", GateSettings(max_loss=0.01)).is_loss


def test_answers_that_are_gone_are_not_measured_and_hide_no_loss() -> None:
    judged = make_labelled_collection()
    everything = select_held_out(judged.judgements, [])
    gone = {*list_answers(judged, everything)[::2]}
    judged.target.database.store.delete("docs", sorted(gone))
    plan = cycle.plan(judged.target, SETTINGS)

    held_out = select_held_out(judged.judgements, plan.missing)

    assert {*plan.missing} >= gone
    kept = [answer for answer in list_answers(judged, everything) if answer not in gone]
    assert list_answers(judged, held_out) == kept
    scores = measure_live_scores(judged.target, held_out, exact=True, progress=ignore_progress)
    assert scores == pytest.approx(plan.figures.before, abs=1e-6)
    assert plan.figures.found == pytest.approx(scores, abs=1e-6)
    # Whoever has no plan finds the same.
    looked_up = select_present_held_out(judged.target, judged.judgements)
    assert looked_up.digest() == held_out.digest()
    assert looked_up.digest() != everything.digest()


def test_an_answer_that_is_gone_is_no_part_of_the_best_ranking() -> None:
    judged = make_labelled_collection()
    everything = select_held_out(judged.judgements, [])
    name = judged.judgements.query_ids[everything.query_rows[0]]
    answer = list_answers(judged, everything)[0]
    judged.target.events.put([to_event_record(Event(name, "relevant", 3, grade=5.0))])
    judgements = load_judgements(judged.target, SETTINGS)

    def score_first(found: list[int], missing: list[int]) -> float:
        held_out = select_held_out(judgements, missing)
        return score_runs(held_out, {0: found})["ndcg@10"] * len(held_out)

    assert score_first([3, answer], []) == pytest.approx(1, abs=1e-4)
    assert score_first([answer], []) < 0.5
    assert score_first([answer], [3]) == pytest.approx(1, abs=1e-4)
    assert score_first([3], [answer]) == pytest.approx(1, abs=1e-4)


def list_answers(judged: JudgedCollection, held_out: HeldOutQueries) -> list[int]:
    """Return the answer of each held-out query."""
    names = [judged.judgements.query_ids[row] for row in held_out.query_rows]
    return [int(judged.data.answers[int(name[1:])]) for name in names]


def add_negative_queries(judged: JudgedCollection, count: int) -> JudgedCollection:
    """Store queries of which only is known that a point does not answer them."""
    vectors = make_unit_rows(count, judged.data.queries.shape[1], 17)
    names = [f"not-{row}" for row in range(count)]
    searches = [Search(name, vector) for name, vector in zip(names, vectors, strict=True)]
    judged.target.queries.put([to_search_record(search) for search in searches])
    judged.target.events.put([to_event_record(Event(name, "not_relevant", 1)) for name in names])
    return replace(judged, judgements=load_judgements(judged.target, SETTINGS))


def test_the_live_index_scores_what_the_plan_expects(labelled: JudgedCollection) -> None:
    plan = cycle.plan(labelled.target, SETTINGS)
    steps: list[tuple[str, int, int]] = []

    scores = measure_live_scores(
        labelled.target,
        select_held_out(labelled.judgements, []),
        exact=True,
        progress=lambda *step: steps.append(step),
    )

    assert scores == pytest.approx(plan.figures.before, abs=1e-6)
    assert steps[-1][1] == steps[-1][2] == len(select_held_out(labelled.judgements, []))


def test_a_query_that_finds_nothing_scores_zero_and_so_does_no_query() -> None:
    relevance = csr_matrix(np.eye(2))
    held_out = HeldOutQueries(np.eye(2, dtype=np.float32), ["a", "b"], relevance, np.arange(2))

    scores = score_runs(held_out, {0: ["x", "a", *"yz"]})

    assert scores["mrr@10"] == 0.25
    assert scores["recall@10"] == 0.5
    nobody = HeldOutQueries(np.empty((0, 2), np.float32), ["a", "b"], relevance[:0], np.arange(0))
    assert score_runs(nobody, {}) == dict.fromkeys(METRIC_NAMES, 0.0)


@pytest.mark.parametrize(("after", "is_loss"), [(0.6, False), (0.495, False), (0.48, True)])
def test_only_a_loss_beyond_what_the_gate_allows_is_one(after: float, is_loss: bool) -> None:
    check = compare_live_scores(
        {"ndcg@10": 0.5}, {"ndcg@10": after}, "ndcg@10", GateSettings(max_loss=0.01)
    )

    assert check.is_loss == is_loss
    assert check.summary()["lost"] == is_loss
    assert f"went from 0.5000 to {after:.4f}" in check.reason
