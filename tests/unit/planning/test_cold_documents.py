"""What the gate knows of warm and cold answers equals a slow computation, and never leaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nudge_sync.base.progress import ignore_progress
from nudge_sync.config import CollectionSettings, GateSettings, SolverSettings
from nudge_sync.errors import Interrupted
from nudge_sync.feedback.cold_share import ColdShare
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.planning.cold_documents import (
    MIN_FOLDS,
    ColdOutcome,
    measure_cold_documents,
    resolve_cold_share,
)
from nudge_sync.planning.dataset import (
    PlanDataset,
    build_dataset,
    read_points_in_play,
    select_dataset_rows,
)
from nudge_sync.solve.fit import fit
from nudge_sync.solve.problem import Choice
from nudge_sync.solve.selection.document_folds import DOCUMENT_FOLDS, hash_rows
from tests.support.cold.hub_collection import open_hub_collection

SETTINGS = CollectionSettings(solver=SolverSettings(method="nudge-n", threads=1))
ASSUMED = ColdShare()
ANGLE = 0.4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> PlanDataset:
    folder: Path = tmp_path_factory.mktemp("hub")
    with open_hub_collection("memory", folder) as target:
        judgements = load_judgements(target, SETTINGS)
        points = read_points_in_play(target, judgements, ignore_progress)
        rows = select_dataset_rows(target, judgements, points)
        return build_dataset(
            target,
            judgements,
            points,
            rows=rows,
            min_queries=1,
            exact=False,
            progress=ignore_progress,
        )


def choose(dataset: PlanDataset, method: str = "nudge-n") -> Choice:
    return fit(
        dataset.points.originals,
        dataset.train_queries,
        dataset.folds,
        method=method,
        angle=ANGLE,
        threads=1,
    )


def measure(dataset: PlanDataset, choice: Choice) -> ColdOutcome:
    return measure_cold_documents(
        dataset, choice, SETTINGS, ASSUMED, similarity="cosine", progress=ignore_progress
    )


def score_alone(query: np.ndarray, vectors: np.ndarray, answer: int) -> float:
    """NDCG@10 of a query with one answer, by sorting all points."""
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    rank = int((scores > scores[answer]).sum())
    return 1 / np.log2(rank + 2) if rank < 10 else 0.0


def turn(vectors: np.ndarray, pulls: np.ndarray) -> np.ndarray:
    """Turn unit rows by ANGLE towards their pulls, no further than those; rows without one stay."""
    moved = vectors.copy()
    for row in np.flatnonzero(pulls.any(axis=1)):
        pull = pulls[row] / np.linalg.norm(pulls[row])
        tangent = pull - (pull @ vectors[row]) * vectors[row]
        angle = min(ANGLE, float(np.arccos(pull @ vectors[row])))
        tangent /= np.linalg.norm(tangent)
        moved[row] = np.cos(angle) * vectors[row] + np.sin(angle) * tangent
    return moved


def measure_slowly(dataset: PlanDataset) -> dict[str, list[float]]:
    """The gain of each held-out query on warm and on cold answers, fold by fold."""
    originals, train = dataset.points.originals, dataset.train_queries
    held_out, gains = dataset.held_out_queries, {"warm": [], "cold": []}
    folds = assign_folds(dataset)
    for fold in range(DOCUMENT_FOLDS):
        visible = train.relevance.toarray() * (folds != fold)
        moved = turn(originals.astype(np.float64), visible.T @ train.vectors)
        for query, grades in zip(held_out.vectors, held_out.relevance.toarray(), strict=True):
            (answer,) = np.flatnonzero(grades)
            gain = score_alone(query, moved, answer) - score_alone(query, originals, answer)
            gains["cold" if folds[answer] == fold else "warm"].append(gain)
    return gains


def assign_folds(dataset: PlanDataset) -> np.ndarray:
    return hash_rows(dataset.points.originals) // DOCUMENT_FOLDS % DOCUMENT_FOLDS


def test_gains_are_those_of_a_slow_computation(dataset):
    report = measure(dataset, choose(dataset)).report
    gains = measure_slowly(dataset)
    for estimate, expected in ((report.warm, gains["warm"]), (report.cold, gains["cold"])):
        assert estimate.queries == len(expected)
        assert estimate.mean == pytest.approx(np.mean(expected), abs=1e-9)
        assert estimate.low < estimate.mean < estimate.high
    # Every held-out query has one answer, which is hidden once.
    assert report.cold.queries == len(dataset.held_out_queries)
    assert report.cold.high < 0 < report.warm.mean


def test_judgements_of_a_hidden_point_do_not_count(dataset):
    """Where a point's own training judgements change, what it gains as a cold one does not."""
    train = dataset.train_queries
    point = int(train.relevance.indices[0])
    relevance = train.relevance.tolil()
    relevance[:, point] = 0
    without = replace(dataset, train_queries=replace(train, relevance=relevance.tocsr()))
    held_out = dataset.held_out_queries
    asks_for_it = np.flatnonzero(held_out.relevance[:, [point]].toarray().ravel())
    assert len(asks_for_it)
    full, less = (
        measure(
            replace(each, held_out_queries=held_out.select(asks_for_it)), choose(each)
        ).report.cold
        for each in (dataset, without)
    )
    assert full.mean == less.mean
    assert full.queries == len(asks_for_it)


def test_a_hidden_answer_that_would_not_attract_tells_nothing(dataset):
    """People saw it, and it may be an answer; nearly all of these are none."""
    relevance = dataset.held_out_queries.relevance
    is_sure = np.arange(relevance.shape[0]) % 2 == 0
    doubtful = replace(
        dataset, held_out_weights=csr_matrix(relevance.multiply(is_sure[:, None]) > 0, dtype=float)
    )
    choice = choose(dataset)
    every_answer, sure_answers = (
        measure(one, choice).report.cold.queries for one in (dataset, doubtful)
    )
    assert every_answer == relevance.shape[0]
    assert sure_answers == is_sure.sum()


def test_an_answer_that_never_trained_is_no_warm_one(dataset):
    train = dataset.train_queries
    nothing_trains = replace(train, relevance=train.relevance.multiply(0).tocsr())
    untrained = replace(dataset, train_queries=nothing_trains)
    report = measure(untrained, replace(choose(dataset), method="nudge-n")).report
    assert report.warm.queries == 0
    assert report.cold.mean == 0


def test_folds_are_spared_only_where_the_first_ones_show_no_harm(dataset):
    """The hub loses cold answers, and all folds say so; unless as much may be lost as there is."""
    (answers,) = dataset.held_out_queries.relevance.argmax(axis=1).T.tolist()
    in_first_two = int((assign_folds(dataset)[answers] < MIN_FOLDS).sum())
    assert 0 < in_first_two < len(answers)
    lenient = SETTINGS.model_copy(update={"gate": GateSettings(max_cold_loss=0.99)})
    choice = choose(dataset)
    counts = [
        measure_cold_documents(
            dataset, choice, settings, ASSUMED, similarity="cosine", progress=ignore_progress
        ).report.cold.queries
        for settings in (SETTINGS, lenient)
    ]
    assert counts == [len(answers), in_first_two]


def test_where_nothing_moves_nothing_is_measured(dataset):
    choice = fit(dataset.points.originals, dataset.train_queries, dataset.folds, method="nothing")
    assert measure(dataset, choice) == ColdOutcome(ASSUMED, None)


def test_progress_is_told_for_each_fold_and_may_stop_it(dataset):
    told = []

    def measure_with(progress):
        measure_cold_documents(
            dataset, choose(dataset), SETTINGS, ASSUMED, similarity="cosine", progress=progress
        )

    def stop(*state):
        told.append(state)
        if state[1] == 2:
            raise Interrupted

    measure_with(lambda *state: told.append(state))
    steps = [("hide documents", fold, DOCUMENT_FOLDS) for fold in range(DOCUMENT_FOLDS + 1)]
    assert told == steps
    told.clear()
    with pytest.raises(Interrupted):
        measure_with(stop)
    assert told == steps[:3]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("auto", ColdShare(0.35, "log")),
        ("off", None),
        (0.0, None),
        (0.2, ColdShare(0.2, "settings")),
        (1.0, ColdShare(1.0, "settings")),
    ],
)
def test_the_settings_come_before_the_log(setting, expected):
    estimate = ColdShare(0.35, "log")
    assert resolve_cold_share(SolverSettings(cold_share=setting), estimate) == expected
