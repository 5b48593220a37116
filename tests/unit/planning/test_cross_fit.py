"""Each fifth is scored by what the others chose, equal to solving and scoring it by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.base.progress import ignore_progress
from nudge_sync.config import GateSettings
from nudge_sync.planning.cross_fit import cross_fit, solve_split
from nudge_sync.planning.dataset import PlanDataset
from nudge_sync.planning.gate import CrossFittedGains
from nudge_sync.solve.fit import fit
from nudge_sync.solve.problem import Choice
from nudge_sync.solve.score import metric_values
from tests.support.judged_collection import (
    SETTINGS,
    JudgedCollection,
    build_plan_dataset,
    make_labelled_collection,
)

SOLVER = SETTINGS.solver
SMALL_LOG = SETTINGS.model_copy(update={"gate": GateSettings(min_queries=100)})
"""Settings by which the log, of 300 queries, is too small for one fifth."""


@pytest.fixture(scope="module")
def labelled() -> JudgedCollection:
    return make_labelled_collection()


@pytest.fixture(scope="module")
def dataset(labelled: JudgedCollection) -> PlanDataset:
    return build_plan_dataset(labelled)


@pytest.fixture(scope="module")
def choice(dataset: PlanDataset) -> Choice:
    return solve_split(dataset.points.originals, dataset, SOLVER, None, similarity="cosine")


def measure(dataset: PlanDataset, choice: Choice) -> CrossFittedGains | None:
    return cross_fit(dataset, choice, SOLVER, None, similarity="cosine", progress=ignore_progress)


def test_gains_are_those_of_solving_without_each_fifth_by_hand(dataset, choice) -> None:
    expected = []
    for split in (dataset, *dataset.other_splits):
        moved = fit(
            dataset.points.originals, split.train_queries, split.folds, method="nudge-n", threads=1
        ).vectors
        after, before = (
            metric_values(vectors, split.held_out_queries, "ndcg@10")
            for vectors in (moved, dataset.points.originals)
        )
        expected += (after - before).tolist()
    measured = measure(dataset, choice)
    assert measured is not None
    assert measured.gains.tolist() == expected
    assert (len(expected), measured.fifths) == (300, 5)
    assert len(measured.bystanders) == 300


def test_a_fifth_without_which_no_point_moves_is_left_out(dataset, choice) -> None:
    first, *others = dataset.other_splits
    nobody = replace(first, train_queries=first.train_queries.select(np.zeros(0, np.int64)))
    nobody = replace(nobody, folds=np.zeros(0, np.int64))
    measured = measure(replace(dataset, other_splits=[nobody, *others]), choice)
    assert measured is not None
    assert measured.fifths == 4
    assert len(measured.gains) == 300 - len(first.held_out_queries)
    alone = replace(dataset, other_splits=[nobody])
    assert measure(alone, choice) is None


def test_nothing_is_solved_where_nothing_moves_or_one_fifth_is_enough(dataset, choice) -> None:
    steps: list[str] = []

    def note(stage: str, _done: int, _total: int) -> None:
        steps.append(stage)

    nothing = fit(dataset.points.originals, dataset.train_queries, dataset.folds, method="nothing")
    for each, chosen in ((dataset, nothing), (replace(dataset, other_splits=[]), choice)):
        measured = cross_fit(each, chosen, SOLVER, None, similarity="cosine", progress=note)
        assert measured is None
    assert steps == []


def test_a_plan_of_a_small_log_goes_by_all_its_queries(labelled, dataset) -> None:
    plan = cycle.plan(labelled.target, SMALL_LOG)
    assert (plan.gate.queries, plan.gate.fifths) == (300, 5)
    assert "300 queries, 5 of 5 fifths of the log held out in turn," in plan.gate.reasons[0]
    assert plan.figures.queries["held"] == len(dataset.held_out_queries)
    assert plan.summary() == cycle.plan(labelled.target, SMALL_LOG).summary()


def test_what_is_written_is_what_the_first_fifth_had_no_part_in(labelled, dataset) -> None:
    plan = cycle.plan(labelled.target, SMALL_LOG)
    share = labelled.judgements.cold_share.share
    choice = solve_split(dataset.points.originals, dataset, SOLVER, share, similarity="cosine")
    moved = {point: row for row, point in enumerate(dataset.points.ids)}
    expected = choice.vectors[[moved[point] for point in plan.rows.ids]]
    np.testing.assert_array_equal(plan.rows.vectors, expected)


def test_a_log_with_too_few_queries_in_all_is_refused(labelled) -> None:
    strict = SETTINGS.model_copy(update={"gate": GateSettings(min_queries=301)})
    plan = cycle.plan(labelled.target, strict)
    assert not plan.gate.passed
    assert "only 300 queries, 5 of 5 fifths" in plan.gate.reasons[0]


def test_a_small_log_is_written_and_its_revision_keeps_what_it_went_by() -> None:
    target = make_labelled_collection().target
    report = cycle.apply(target, SMALL_LOG)
    assert report.outcome == "applied"
    assert report.live_check is not None
    assert not report.live_check.is_loss
    again = cycle.plan(target, SMALL_LOG)
    assert len(again.rows) == 0
    assert (again.gate.queries, again.gate.fifths) == (300, 5)
