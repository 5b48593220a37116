"""Which trials a study runs, and what it leaves out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nudge_sync.errors import ConfigError, InputError
from nudge_sync.evaluate import study
from nudge_sync.evaluate.score import score_queries
from tests.support.evaluation_study import STUDY_SETTINGS, make_task


def test_progress_is_told_and_may_stop_a_study():
    steps = []
    study.run_study(
        make_task(), replace(STUDY_SETTINGS, seeds=(0,)), lambda *step: steps.append(step)
    )
    assert steps[0] == ("evaluate", 0, 4)
    assert steps[-1] == ("evaluate", 4, 4)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.run_study(make_task(), STUDY_SETTINGS, stop)


def test_nudge_m_needs_dot_product():
    task = replace(make_task(), similarity="cosine")

    with pytest.raises(ConfigError, match="dot product"):
        study.restrict_settings(task, replace(STUDY_SETTINGS, methods=("nudge-m",)))


def test_a_protocol_that_the_task_is_too_small_for_is_left_out_and_said_so():
    task = make_task()
    alike = replace(task, judgements=[{0: 1.0} for _ in task.judgements])

    noted, settings = study.restrict_settings(alike, STUDY_SETTINGS)

    assert settings.protocols == ("random",)
    assert "grouped was left out: 1 groups" in noted.notes[-1]
    with pytest.raises(InputError, match="grouped was left out"):
        study.restrict_settings(alike, replace(STUDY_SETTINGS, protocols=("grouped",)))


def test_every_method_is_tested_on_every_part_of_every_split(finished_study):
    tested = {(trial.protocol, trial.seed, trial.method) for trial in finished_study.trials}

    assert len(tested) == len(finished_study.trials) == 2 * 2 * 2
    assert finished_study.part_names("random") == ["test"]
    task = finished_study.task
    assert np.array_equal(
        finished_study.baseline, score_queries(task.documents, task.queries, task.judgements)
    )


def test_gains_are_summed_over_the_seeds_that_test_a_query(finished_study):
    totals, counts = finished_study.sum_gains("random", "test", "nudge-n")

    assert counts.sum() == 2 * 40
    assert not totals[counts == 0].any()
    scores = finished_study.select_trials("random", "nudge-n", "test")[0].tests["test"]
    once = counts[scores.rows] == 1
    np.testing.assert_allclose(
        totals[scores.rows[once]], (scores.values - finished_study.baseline[scores.rows])[once]
    )
