"""Each baseline scores as its paper's formula does, written out one document at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nudge_sync.evaluate.baselines.baseline import Baseline, choose_baseline, sort_scores
from nudge_sync.evaluate.baselines.nearest_neighbour_normalisation import list_normalised
from nudge_sync.evaluate.baselines.pefa import list_pefa_xl, list_pefa_xs
from nudge_sync.evaluate.baselines.rocchio import list_rocchio
from nudge_sync.evaluate.methods import train_method
from nudge_sync.evaluate.score import score_queries
from nudge_sync.evaluate.split import split_randomly
from nudge_sync.evaluate.study import StudySettings, run_study
from nudge_sync.metrics import RANKING_DEPTH
from nudge_sync.tuning.qrels import build_relevance_matrix
from tests.support.evaluation_study import make_task

TASK = make_task()
TRAIN = np.arange(100)
TEST = np.arange(150, 170)


def pick(tried, **settings) -> Baseline:
    return next(one for one in tried if one.settings == settings)


def list_nearest(vector, others, count):
    return np.argsort(-(others @ vector), kind="stable")[:count]


def list_answered(document: int) -> list[int]:
    return [row for row in TRAIN if document in TASK.judgements[row]]


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_pefa_xs_mixes_a_document_with_the_queries_that_it_answers(weight):
    baseline = pick(list_pefa_xs(TASK, TRAIN), **{"lambda": weight})

    for document in range(len(TASK.documents)):
        answered = list_answered(document)
        mean = np.zeros(TASK.documents.shape[1])
        if answered:
            mean = TASK.queries[answered].astype(np.float64).sum(axis=0)
            mean /= np.linalg.norm(mean)
        expected = weight * TASK.documents[document] + (1 - weight) * mean
        np.testing.assert_allclose(baseline.documents[document], expected, atol=1e-6)
    assert baseline.queries is TASK.queries


def test_pefa_xs_counts_an_answer_by_its_weight():
    judgements = [{0: 1.0}, {0: 1.0}, *TASK.judgements[2:]]
    weighted = replace(TASK, judgements=judgements, weights=[{0: 3.0}, *judgements[1:]])
    documents = pick(list_pefa_xs(weighted, np.arange(2)), **{"lambda": 0.0}).documents
    expected = 3 * TASK.queries[0] + TASK.queries[1]
    np.testing.assert_allclose(documents[0], expected / np.linalg.norm(expected), atol=1e-6)


@pytest.mark.parametrize(("weight", "count"), [(0.5, 4), (0.0, 16), (1.0, 4)])
def test_pefa_xl_adds_what_the_nearest_logged_queries_found(weight, count):
    baseline = pick(list_pefa_xl(TASK, TRAIN), **{"lambda": weight, "neighbours": count})

    run = baseline.rank(TASK.queries[TEST], None)

    for row, query in enumerate(TASK.queries[TEST]):
        scores = weight * (TASK.documents @ query).astype(np.float64)
        for logged in list_nearest(query, TASK.queries[TRAIN], count):
            for document in TASK.judgements[logged]:
                scores[document] += (1 - weight) / count * float(query @ TASK.queries[logged])
        np.testing.assert_allclose(
            scores[run[row]], np.sort(scores)[::-1][:RANKING_DEPTH], atol=1e-6
        )


def test_pefa_xl_leaves_out_what_is_excluded():
    baseline = pick(list_pefa_xl(TASK, TRAIN), **{"lambda": 0.5, "neighbours": 4})
    first = baseline.rank(TASK.queries[TEST], None)[:, 0]
    excluded = build_relevance_matrix(
        [{int(row): 1.0} for row in first], len(TEST), len(TASK.documents), "excluded"
    )

    run = baseline.rank(TASK.queries[TEST], excluded)

    assert not (run == first[:, None]).any()


@pytest.mark.parametrize(("beta", "count"), [(0.5, 4), (1.0, 1)])
def test_rocchio_turns_a_query_towards_what_answered_its_neighbours(beta, count):
    baseline = pick(list_rocchio(TASK, TRAIN), beta=beta, neighbours=count)

    for row in TEST:
        query, feedback = TASK.queries[row], np.zeros(TASK.documents.shape[1])
        for logged in list_nearest(query, TASK.queries[TRAIN], count):
            mean = np.mean([TASK.documents[document] for document in TASK.judgements[logged]], 0)
            feedback += max(float(query @ TASK.queries[logged]), 0.0) / count * mean
        np.testing.assert_allclose(baseline.queries[row], query + beta * feedback, atol=1e-5)
    assert baseline.documents is TASK.documents


@pytest.mark.parametrize(("alpha", "count"), [(0.75, 8), (0.25, 1)])
def test_normalisation_takes_back_what_is_near_to_many_queries(alpha, count):
    baseline = pick(list_normalised(TASK, TRAIN), alpha=alpha, neighbours=count)

    scores = baseline.queries[TEST] @ baseline.documents.T

    for document, vector in enumerate(TASK.documents):
        nearest = list_nearest(vector, TASK.queries[TRAIN], count)
        bias = np.mean(TASK.queries[TRAIN][nearest] @ vector)
        expected = TASK.queries[TEST] @ vector - alpha * bias
        np.testing.assert_allclose(scores[:, document], expected, atol=1e-5)


@pytest.mark.parametrize("method", ["pefa-xs", "pefa-xl", "rocchio", "nnn"])
def test_settings_are_those_that_the_validation_queries_favour(method):
    split = split_randomly(TASK.number_questions(), seed=0)
    nothing = score_queries(
        TASK.documents, TASK.queries[split.validation], TASK.select_judgements(split.validation)
    )

    trained = train_method(TASK, split, method, "ndcg@10", seed=0)

    chosen = score_queries(
        trained.documents,
        trained.queries[split.validation],
        TASK.select_judgements(split.validation),
        rank=trained.rank,
    )
    # Each can do nothing, which is among its settings.
    assert chosen[:, 0].mean() >= nothing[:, 0].mean()
    assert trained.parameters


def test_of_equally_good_settings_the_first_is_taken():
    tried = [Baseline(TASK.documents, TASK.queries, {"number": number}) for number in range(3)]
    assert choose_baseline(TASK, TEST, "ndcg@10", tried).settings == {"number": 0}


def test_fewer_documents_than_ranks_leave_ranks_empty():
    run = sort_scores(np.array([[0.1, 0.9, -np.inf]]), None)
    assert run.tolist() == [[1, 0] + [-1] * (RANKING_DEPTH - 2)]


def test_they_run_under_every_protocol_that_leaves_answers_out():
    settings = StudySettings(
        methods=("nothing", "pefa-xl", "nnn"),
        protocols=("cold-documents",),
        seeds=(0,),
        resamples=100,
    )
    study = run_study(TASK, settings)
    assert {part for trial in study.trials for part in trial.tests} == {
        *("all answers", "warm answers", "cold answers")
    }
