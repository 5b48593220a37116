"""Against figures of the authors' package, nudge-ft 0.1.2, kept in tests/data/nudge-ft.npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nudge_sync import finetune
from nudge_sync.nudge_ft import NUDGEM, NUDGEN

FIGURES = np.load(Path(__file__).parents[1] / "data" / "nudge-ft.npz")
GAMMAS = [float(name[1:]) for name in FIGURES.files if name[0] == "n"]
STEPS = [float(name[1:]) for name in FIGURES.files if name[0] == "m"]


def make_query_sets():
    answers = [[int(one)] for one in FIGURES["answers"]]
    queries = FIGURES["queries"]
    return (
        {"q_embs": queries[:45], "q_ans_indx": answers[:45]},
        {"q_embs": queries[45:], "q_ans_indx": answers[45:]},
    )


@pytest.mark.parametrize("gamma", GAMMAS)
def test_nudge_n_at_a_given_radius(gamma):
    ours = NUDGEN(device=None).finetune_embeddings(
        FIGURES["documents"], *make_query_sets(), gamma=gamma
    )
    np.testing.assert_allclose(ours, FIGURES[f"n{gamma}"], atol=1e-6)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_finetune_at_the_angle_of_a_radius(gamma):
    train, _ = make_query_sets()
    angle = float(np.arccos(1 - gamma / 2))
    fit = finetune(FIGURES["documents"], train["q_embs"], train["q_ans_indx"], angle=angle)
    np.testing.assert_allclose(fit.documents, FIGURES[f"n{gamma}"], atol=1e-6)


@pytest.mark.parametrize("step", STEPS)
def test_nudge_m_at_a_given_step(step):
    ours = NUDGEM().finetune_embeddings(FIGURES["documents"], *make_query_sets(), gamma=step)
    np.testing.assert_allclose(ours, FIGURES[f"m{step}"], atol=1e-6)


def test_queries_of_any_length_pull_by_their_length_as_there():
    train, validation_queries = make_query_sets()
    longer = {**train, "q_embs": train["q_embs"] * np.linspace(0.5, 3, 45)[:, None]}
    plain = NUDGEN().finetune_embeddings(FIGURES["documents"], train, validation_queries, gamma=0.3)
    weighed = NUDGEN().finetune_embeddings(
        FIGURES["documents"], longer, validation_queries, gamma=0.3
    )
    assert np.abs(plain - weighed).max() > 1e-3


@pytest.mark.parametrize("kind", [NUDGEN, NUDGEM])
def test_documents_nobody_asks_for_can_be_handed_in_apart(kind):
    documents, (train, validation_queries) = FIGURES["documents"], make_query_sets()
    whole = kind().finetune_embeddings(documents, train, validation_queries)
    apart = kind().finetune_embeddings(documents[:30], train, validation_queries, documents[30:])
    paired = kind().finetune_embeddings(
        documents[:30], train, validation_queries, (documents[30:], None)
    )
    np.testing.assert_array_equal(whole[:30], apart)
    np.testing.assert_array_equal(apart, paired)
