"""The click model of the simulated people, for a run that is told what it would have to learn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np

from common.click_behaviours import TRUST
from common.simulated_feedback import DEPTH, Case, Corpus
from nudge_sync.feedback.clicks import posterior
from nudge_sync.feedback.clicks.bias.click_model import RANK_COUNT, ClickModel
from nudge_sync.feedback.clicks.impressions.single import DISTANCE_CLASS_COUNT

_LEAST = 1e-4
"""Of a probability, as the product has it; and what is not seen of the model's 100 ranks."""


def build_true_model(corpus: Corpus, case: Case) -> ClickModel | None:
    """Return how people look and click in a case; None where the click model has no such people,
    or where other lists than the plain ranking are shown.
    """
    if case.behaviour == "dcm" or case.shuffle or case.explore:
        return None
    is_cascade = case.behaviour == "cascade"
    ranks = np.maximum(np.arange(RANK_COUNT), 1)
    rows = np.arange(len(corpus.queries))
    prior = np.full(RANK_COUNT, _LEAST)
    prior[1 : DEPTH + 1] = corpus.is_relevant(rows, corpus.ranking[:, :DEPTH]).mean(axis=0)
    trust = TRUST / ranks if case.behaviour == "trust" else 0.0
    persistence = np.full(DISTANCE_CLASS_COUNT, _LEAST if is_cascade else 1.0)
    persistence[0] = 1.0
    return ClickModel(
        examination=np.ones(RANK_COUNT) if is_cascade else ranks**-case.examination_decay,
        persistence=persistence,
        attractiveness_relevant=case.relevant_click_rate,
        attractiveness_irrelevant=np.full(RANK_COUNT, case.irrelevant_click_rate) + trust,
        prior=np.maximum(prior, _LEAST),
    )


@contextmanager
def tell(model: ClickModel) -> Iterator[None]:
    """Have the product take this click model instead of one that it fits."""
    with patch.object(posterior, "fit_click_model", lambda *_, **__: model):
        yield
