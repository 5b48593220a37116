"""Decisions: what follows from which evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from nudge_sync.experiment.evidence.credit import SessionCredits
from nudge_sync.experiment.evidence.decision import (
    SECONDS_PER_DAY,
    Evidence,
    decide,
    decide_holdback,
    weigh_evidence,
)
from nudge_sync.experiment.evidence.effect import Effect
from nudge_sync.experiment.evidence.sample_ratio import SampleRatio
from nudge_sync.settings.canary import CanarySettings

SETTINGS = CanarySettings(min_sessions=100, max_days=7)
STARTED = 1_700_000_000.0
BETTER, UNSURE, WORSE = (
    Effect(0.2, 0.1, 0.3, 0),
    Effect(0.05, -0.1, 0.2, 400),
    Effect(-0.2, -0.3, -0.1, 0),
)
RATIO = SampleRatio(0.5, 60, 120, mismatch=False)
AT_THE_END = STARTED + 7 * SECONDS_PER_DAY
EVIDENCE = Evidence(120, BETTER, UNSURE, RATIO, newest_click=STARTED + 3600)
SHIFTED = replace(EVIDENCE, sample_ratio=replace(RATIO, mismatch=True))

TABLE = {
    "better": (EVIDENCE, 0.1, "promote", "continue"),
    "unsure": (replace(EVIDENCE, effect=UNSURE), 0.1, "continue", "continue"),
    "too few": (replace(EVIDENCE, sessions=99), 0.1, "continue", "continue"),
    "worse": (replace(EVIDENCE, effect=WORSE), 0.1, "harm", "harm"),
    "worse at once": (replace(EVIDENCE, effect=WORSE, sessions=9), 0.1, "harm", "harm"),
    "worse on what stays": (replace(EVIDENCE, unmoved=WORSE), 0.1, "harm", "harm"),
    "at a cost": (
        replace(EVIDENCE, unmoved=Effect(-0.01, -0.1, 0.1, None)), 0.1, "continue", "continue",
    ),
    "unreadable": (None, 0.1, "paused", "paused"),
    "sample ratio": (SHIFTED, 0.1, "paused", "paused"),
    "sample ratio before harm": (replace(SHIFTED, effect=WORSE), 0.1, "paused", "paused"),
    "silence": (EVIDENCE, 2, "paused", "paused"),
    "harm before silence": (replace(EVIDENCE, effect=WORSE), 2, "harm", "harm"),
    "better at the end": (replace(EVIDENCE, newest_click=AT_THE_END), 7, "promote", "continue"),
    "unsure at the end": (
        replace(EVIDENCE, effect=UNSURE, newest_click=AT_THE_END), 7, "inconclusive",
        "continue",
    ),
    "unreadable at the end": (None, 7, "inconclusive", "paused"),
    "sample ratio at the end": (SHIFTED, 7, "inconclusive", "paused"),
    "silent from the start": (replace(EVIDENCE, newest_click=0.0), 1.1, "paused", "paused"),
}  # fmt: skip


@pytest.mark.parametrize(("evidence", "days", "canary", "holdback"), TABLE.values(), ids=TABLE)
def test_the_table_of_decisions(evidence, days, canary, holdback):
    when = {"started": STARTED, "now": STARTED + days * SECONDS_PER_DAY}
    assert decide(evidence, SETTINGS, **when).verdict == canary
    assert decide_holdback(evidence, SETTINGS, **when).verdict == holdback


def test_a_loss_that_is_put_up_with_is_no_harm():
    worse = replace(EVIDENCE, effect=WORSE)
    when = {"started": STARTED, "now": STARTED + 3600}
    tolerant = SETTINGS.model_copy(update={"harm": 0.15})
    assert decide(worse, tolerant, **when).verdict == "continue"
    assert decide(worse, SETTINGS.model_copy(update={"harm": 0.05}), **when).verdict == "harm"


def test_the_reason_names_the_figures():
    when = {"started": STARTED, "now": STARTED + 3600}
    assert "by 0.1 at least" in decide(EVIDENCE, SETTINGS, **when).reason
    assert "60 of 120 assignments" in decide(SHIFTED, SETTINGS, **when).reason
    over = decide(None, SETTINGS, started=STARTED, now=STARTED + 8 * SECONDS_PER_DAY)
    assert over.reason.startswith("no conclusion after 7 days: the log")
    assert over.summary().keys() == {"verdict", "reason"}
    assert decide(EVIDENCE, SETTINGS, **when).summary()["effect"]["interval"] == [0.1, 0.3]


def test_the_reason_says_what_the_guardrail_counts():
    when = {"started": STARTED, "now": STARTED + 3600}
    settings = SETTINGS.model_copy(update={"unmoved_weight": 4.0})
    guardrail = (
        "the guardrail, clicks with a click worth 0.25 on documents that move and 1 on others"
    )
    harm = decide(replace(EVIDENCE, unmoved=WORSE), settings, **when)
    assert (harm.verdict, harm.reason) == ("harm", f"{guardrail}: surely worse, by 0.1 at least")
    cost = decide(replace(EVIDENCE, unmoved=Effect(-0.01, -0.1, 0.1, None)), settings, **when)
    assert (cost.verdict, cost.reason) == ("continue", f"better, but not by {guardrail}")


def make_credits(credit, *, interleaved=True, is_treatment=None):
    nobody = np.zeros(len(credit), np.bool_)
    arms = nobody if is_treatment is None else is_treatment
    alternating = np.arange(len(credit)) % 2 == 0
    return SessionCredits(
        interleaved=interleaved,
        credit=credit,
        unmoved_credit=credit,
        is_treatment=arms,
        assignments=alternating if interleaved else arms,
        left_out={},
        newest_search=STARTED,
        newest_click=STARTED,
    )


def judge(credits_, settings=SETTINGS, share=0.5):
    evidence = weigh_evidence(credits_, settings, share)
    return decide(evidence, settings, started=STARTED, now=STARTED + 3600).verdict


@pytest.mark.parametrize(("mean", "verdict"), [(0.3, "promote"), (-0.3, "harm"), (0.0, "continue")])
def test_interleaved_sessions_lead_to_the_verdict(mean, verdict):
    rng = np.random.default_rng(0)
    credit = np.where(rng.random(400) < 0.5 + mean / 2, 1.0, -1.0)
    assert judge(make_credits(credit)) == verdict


@pytest.mark.parametrize(("gain", "verdict"), [(0.3, "promote"), (-0.3, "harm"), (0.0, "continue")])
def test_split_sessions_lead_to_the_verdict(gain, verdict):
    rng = np.random.default_rng(1)
    is_treatment = rng.random(1500) < 0.2
    credit = (rng.random(1500) < 0.5 + gain * is_treatment).astype(float)
    credits_ = make_credits(credit, interleaved=False, is_treatment=is_treatment)
    assert judge(credits_, share=0.2) == verdict


def click_by_rank(seed: int, *, same_lists: bool, split: bool, sessions: int) -> SessionCredits:
    """Return sessions of people who click by rank alone, whatever stands there.

    Each list holds ten results, of which three have moved: in both arms, or in the treatment's.
    Interleaved, results of an even rank are the treatment's.
    """
    rng = np.random.default_rng(seed)
    clicked = rng.random((sessions, 10)) < 0.35 * 0.75 ** np.arange(10)
    is_treatment = rng.random(sessions) < 0.5
    moved = rng.permuted(np.tile(np.arange(10) < 3, (sessions, 1)), axis=1)
    begins = is_treatment[:, None]
    team = np.where((np.arange(10) % 2 == 0) == begins, 1.0, -1.0)
    if same_lists:
        team = np.zeros_like(team)
    elif split:
        moved &= begins
    else:
        moved &= team > 0
    values = np.where(moved, 0.5, 1.0) * clicked
    if split:
        credit, unmoved = clicked.any(axis=1).astype(float), values.max(axis=1)
    else:
        total = np.maximum(clicked.sum(axis=1), 1)
        credit, unmoved = (team * clicked).sum(axis=1) / total, (team * values).sum(axis=1) / total
    credits_ = make_credits(credit, interleaved=not split, is_treatment=is_treatment)
    return replace(credits_, unmoved_credit=unmoved)


@pytest.mark.parametrize("split", [False, True])
def test_moved_documents_in_lists_that_are_the_same_are_no_difference(split):
    settings = CanarySettings(alpha=0.4, min_sessions=1)
    verdicts = [
        judge(click_by_rank(seed, same_lists=True, split=split, sessions=200), settings)
        for seed in range(60)
    ]
    assert 60 - verdicts.count("continue") <= binom.ppf(1 - 1e-6, 60, 0.4)


@pytest.mark.parametrize("split", [False, True])
def test_clicks_traded_one_for_one_are_harm_to_the_guardrail_alone(split):
    credits_ = click_by_rank(0, same_lists=False, split=split, sessions=4000)
    evidence = weigh_evidence(credits_, SETTINGS, 0.5)
    assert evidence.effect.low < 0 < evidence.effect.high
    decision = decide(evidence, SETTINGS, started=STARTED, now=STARTED + 3600)
    assert decision.verdict == "harm"
    assert decision.reason.startswith("the guardrail")
    weightless = replace(
        evidence,
        unmoved=weigh_evidence(
            replace(credits_, unmoved_credit=credits_.credit), SETTINGS, 0.5
        ).unmoved,
    )
    assert decide(weightless, SETTINGS, started=STARTED, now=STARTED + 3600).verdict == "continue"


def test_a_canary_without_a_difference_concludes_no_more_often_than_alpha():
    settings = CanarySettings(alpha=0.4, min_sessions=1)
    verdicts = [
        judge(make_credits(np.random.default_rng(seed).choice([-1.0, 0.0, 1.0], 200)), settings)
        for seed in range(60)
    ]
    promoted, harmed = verdicts.count("promote"), verdicts.count("harm")
    assert promoted <= binom.ppf(1 - 1e-6, 60, 0.2)
    assert promoted + harmed <= binom.ppf(1 - 1e-6, 60, 0.4)
