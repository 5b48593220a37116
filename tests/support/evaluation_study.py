"""A small retrieval task on which moving documents helps."""

from __future__ import annotations

import numpy as np

from nudge_sync.evaluate.study import StudySettings
from nudge_sync.evaluate.task import EvaluationTask, scale_to_unit

STUDY_SETTINGS = StudySettings(
    methods=("nothing", "nudge-n"), protocols=("random", "grouped"), seeds=(0, 1), resamples=200
)


def make_task(seed: int = 0) -> EvaluationTask:
    """Each of 30 documents answers queries around a spot away from it."""
    rng = np.random.default_rng(seed)
    documents = scale_to_unit(rng.normal(size=(80, 16)))
    spots = scale_to_unit(documents[:30] + 1.2 * scale_to_unit(rng.normal(size=(30, 16))))
    answers = rng.integers(0, 30, 200)
    queries = scale_to_unit(spots[answers] + 0.4 * scale_to_unit(rng.normal(size=(200, 16))))
    names = [str(row) for row in range(200)]
    return EvaluationTask(
        "toy <&>", documents, queries, [{int(row): 1.0} for row in answers], names[:80], names
    )
