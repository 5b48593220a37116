"""Searches of an experiment become judgements like any other: the arm biases no later plan.

A plan that is wrong puts a document first that answers nothing. In the log of its own canary that
document is shown at the top, and clicked for it; judgements must not take that for relevance.
"""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.config import FeedbackSettings
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.feedback.schema.exposure import Exposure
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.testing.memory import MemoryDatabase

DIMENSION, QUERIES, SEARCHES, RANKS = 16, 60, 16, 6


def list_shown(control, intruder, arm, rng):
    """Return the list of an arm: the treatment's has the intruder first."""
    treatment = [intruder, *(point for point in control if point != intruder)][:RANKS]
    if arm != "interleaved":
        return (treatment if arm == "treatment" else control), ()
    rest = [point for point in control if point != intruder][: RANKS - 2]
    pair = [(intruder, "treatment"), (control[0], "control")]
    pair = pair if rng.random() < 0.5 else pair[::-1]
    shown = [point for point, _ in pair] + [point for point in rest if point != control[0]]
    return shown, tuple(team for _, team in pair) + ("both",) * (len(shown) - 2)


def judge_log(arms):
    """Return point pairs that are judged to attract, of a log whose searches take turns in `arms`.

    Query q is answered by point q, and its intruder is point 1000 + q. Rank r is examined with
    1 / r; the answer is then clicked with 0.8 and anything else with 0.1.
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
            shown, teams = list_shown(control, 1000 + q, arm, rng)
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
    """Return how many answers are judged to attract, and how many intruders."""
    answers = sum(point == row for row, point in judged)
    return answers, sum(point == 1000 + row for row, point in judged)


@pytest.fixture(scope="module")
def without_experiment():
    return count(judge_log(["control"]))


@pytest.mark.parametrize("arms", [["control", "treatment"], ["interleaved"]])
def test_the_arm_does_not_bias_the_next_plan(arms, without_experiment):
    answers, intruders = count(judge_log(arms))
    assert without_experiment[0] > 0.6 * QUERIES
    assert answers > 0.85 * without_experiment[0]
    assert intruders <= 0.05 * QUERIES
