"""What gains depend on: how often answers were judged, and the angle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nudge_sync.evaluate import evidence
from tests.support.evaluation_study import make_task


def test_queries_are_sorted_by_how_often_their_answers_were_judged(finished_study):
    bins = evidence.measure_gain_by_judgements(finished_study)
    tested = sum(one.queries for one in bins)

    assert [one.label for one in bins] == [
        label for label in evidence._bin_labels() if label in {one.label for one in bins}
    ]
    assert tested >= 0.9 * len(
        np.unique(
            np.concatenate(
                [
                    trial.tests["test"].rows
                    for trial in finished_study.select_trials("random", "nudge-n", "test")
                ]
            )
        )
    )


def test_known_counts_training_queries_per_answer():
    task = replace(
        make_task(), judgements=[{0: 1.0}, {0: 2.0, 1: 1.0}, {0: 1.0, 1: 1.0, 2: 0.0}, {5: 1.0}]
    )

    assert evidence.count_training_judgements(
        task, np.array([0, 1]), np.array([2, 3])
    ).tolist() == [1.5, 0.0]
    assert evidence._assign_bins(np.array([0.0, 0.5, 1.0, 1.5, 2.0, 33.0])).tolist() == [
        0,
        1,
        1,
        2,
        2,
        7,
    ]
    assert len(evidence._bin_labels()) == len(evidence.BIN_EDGES) + 2


def test_curves_start_near_nothing_and_name_what_was_chosen(finished_study):
    (curve,) = evidence.measure_gain_by_angle(finished_study)

    assert curve.method == "nudge-n"
    assert len(curve.chosen_angles) == 2
    assert np.all(curve.gain.low <= curve.gain.mean)
    assert np.all(curve.gain.mean <= curve.gain.high)
    assert curve.gain.mean.max() > 0
