"""From trials to figures: what is averaged, and what is compared."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest

from nudge_sync.evaluate import summary
from nudge_sync.evaluate.study import run_study
from nudge_sync.metrics import METRIC_NAMES
from tests.support.evaluation_study import STUDY_SETTINGS, make_task


def test_means_and_gains_are_those_of_the_tested_queries(finished_study, lines):
    column = METRIC_NAMES.index("ndcg@10")
    line = next(one for one in lines if (one.protocol, one.method) == ("random", "nudge-n"))
    trials = finished_study.select_trials("random", "nudge-n", "test")
    tested = [trial.tests["test"] for trial in trials]
    values = np.concatenate([scores.values[:, column] for scores in tested])
    base = np.concatenate([finished_study.baseline[scores.rows, column] for scores in tested])

    assert line.values["ndcg@10"] == pytest.approx(values.mean())
    assert line.gains["ndcg@10"].mean == pytest.approx((values - base).mean())
    assert line.queries == len(set(np.concatenate([scores.rows for scores in tested]).tolist()))
    assert line.better + line.worse <= line.queries


def test_labels_of_one_question_make_no_gain_surer():
    task, settings = make_task(), replace(STUDY_SETTINGS, protocols=("random",))
    rows = np.repeat(np.arange(200), 3)
    labelled_often = replace(
        task,
        queries=task.queries[rows],
        judgements=task.select_judgements(rows),
        query_ids=[f"{task.query_ids[row]}-{number}" for number, row in enumerate(rows)],
    )

    (_, once), (_, often) = (
        summary.summarise_study(run_study(one, settings)) for one in (task, labelled_often)
    )

    for name in METRIC_NAMES:
        assert astuple(often.gains[name]) == pytest.approx(astuple(once.gains[name]))
    assert often.p_corrected == once.p_corrected


def test_nothing_gains_nothing(lines):
    for line in lines:
        if line.method == "nothing":
            assert all(gain.mean == gain.low == gain.high == 0 for gain in line.gains.values())
            assert (line.better, line.worse, line.p_corrected) == (0, 0, 1.0)


def test_every_comparison_is_corrected_for_all_of_them(lines):
    compared = [line for line in lines if line.method != "nothing"]

    assert summary.count_comparisons(lines) == len(compared) == 2
    lowest = min(compared, key=lambda line: line.gains["ndcg@10"].p)
    assert lowest.p_corrected == pytest.approx(min(1, 2 * lowest.gains["ndcg@10"].p))
