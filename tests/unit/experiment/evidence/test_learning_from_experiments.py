"""Searches of an experiment become judgements like any other: the arm biases no later plan.

A plan that is wrong puts a document first that answers nothing. In the log of its own canary that
document is shown at the top, and clicked for it; judgements must not take that for relevance.
"""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.experiment.interleave import draft_teams
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.feedback.schema.exposure import Exposure
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.testing.memory import MemoryDatabase

DIMENSION, QUERIES, SEARCHES, RANKS = 16, 60, 20, 6


def list_shown(control, first, arm, rng):
    """Return the list of an arm, and its teams: the treatment's has the point `first` in front."""
    treatment = [first, *(point for point in control if point != first)][:RANKS]
    if arm != "interleaved":
        return (treatment if arm == "treatment" else control), ()
    drafted = draft_teams(control, treatment, RANKS, iter((rng.random(2 * RANKS) < 0.5).tolist()))
    return drafted.ids, tuple(drafted.teams)


def judge_log(arms, first):
    """Return which (query, point) attract by a log whose searches take turns in `arms`.

    Query q is answered by point q, and its intruder is point 1000 + q. For every other query, the
    treatment has the point `first` + q in front; for the rest the arms do not differ. Rank r is
    examined with 1 / r; the answer is then clicked with 0.8 and anything else with 0.1.
    """
    rng = np.random.default_rng(0)
    database = MemoryDatabase()
    queries, events = database.records("q", DIMENSION), database.records("e")
    vectors = rng.normal(size=(QUERIES, DIMENSION)).astype(np.float32)
    for q in range(QUERIES):
        others = rng.choice(np.arange(100, 400), RANKS - 2, replace=False).tolist()
        control = [*rng.permutation([q, *others]).tolist(), 1000 + q]
        for n in range(SEARCHES):
            arm = arms[n % len(arms)]
            in_front = first + q if q % 2 else control[0]
            shown, teams = list_shown(control, in_front, arm, rng)
            name, client = f"{q:03d} {n:02d}", f"c{q} {n}"
            exposure = Exposure("canary:1", arm, teams)
            search = Search(
                name, vectors[q], shown=tuple(shown), client_id=client, exposure=exposure
            )
            queries.put([to_search_record(search)])
            for index, point in enumerate(shown):
                if rng.random() < (0.8 if point == q else 0.1) / (index + 1):
                    events.put([to_event_record(Event(name, "click", point, client_id=client))])
    judgements = read_judgements(queries, events, FeedbackSettings(), DIMENSION)
    rows = [int(judgements.query_ids[row].split()[0]) for row in judgements.query_rows]
    return {
        (row, int(point))
        for row, point, weight in zip(rows, judgements.point_ids, judgements.weights, strict=True)
        if weight > 0
    }


def count(judged):
    """Return how many answers are judged to attract, how many intruders, and how many others."""
    answers = sum(point == row for row, point in judged)
    intruders = sum(point == 1000 + row for row, point in judged)
    return answers, intruders, len(judged) - answers - intruders


@pytest.fixture(scope="module")
def without_experiment():
    return count(judge_log(["control"], 0))


MODES = pytest.mark.parametrize("arms", [["control", "treatment"], ["interleaved"]])


@MODES
def test_a_wrong_plan_is_not_confirmed_by_its_own_canary(arms, without_experiment):
    answers, intruders, others = count(judge_log(arms, 1000))
    assert without_experiment[0] > 0.6 * QUERIES
    assert answers > 0.35 * QUERIES
    assert intruders <= 0.05 * QUERIES
    assert others <= without_experiment[2] + 0.05 * QUERIES


@MODES
def test_what_a_right_plan_shows_is_learnt_as_well(arms, without_experiment):
    answers, intruders, others = count(judge_log(arms, 0))
    assert answers >= 0.9 * without_experiment[0]
    assert intruders + others <= sum(without_experiment[1:]) + 0.05 * QUERIES
