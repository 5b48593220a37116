"""From what applications show and log to the verdict, through the real experiment and its log."""

from __future__ import annotations

import time

import pytest

from nudge_sync.experiment.evidence.first_visits import SESSION_GAP
from nudge_sync.experiment.evidence.judge import judge_experiment
from nudge_sync.feedback_log import FeedbackLog
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.experiments.sample_experiment import K, search_live, start_sample_canary

SESSIONS = 100
SETTINGS = CanarySettings(mode="interleave", min_sessions=50)


def visit(sample, experiment, log, team):
    """Let sessions search once each, and click the first result of a team, if it has one."""
    shown = []
    for number in range(SESSIONS):
        session, query = f"visit {number}", sample.data.queries[number]
        depth = experiment.depth(K, session=session)
        ranked = experiment.rank(
            query, search_live(sample, query, depth), K, session=session,
            more=lambda limit, query=query: search_live(sample, query, limit),
        )  # fmt: skip
        shown.append(ranked)
        if team in ranked.teams:
            log.click(ranked.query_id, ranked.ids[ranked.teams.index(team)], session=session)
    return shown


@pytest.mark.parametrize(("team", "verdict"), [("treatment", "promote"), ("control", "harm")])
def test_clicks_on_a_teams_results_lead_to_its_verdict(sample, open_experiment, team, verdict):
    running = start_sample_canary(sample, mode="interleave")
    with FeedbackLog(sample.database, "docs", flush_seconds=0.01) as log:
        shown = visit(sample, open_experiment(log=log), log, team)
        assert log.flush()
    clicked = sum(team in ranked.teams for ranked in shown)
    assert clicked > 0.5 * SESSIONS
    decision = judge_experiment(
        sample.target(), running, FeedbackSettings(), SETTINGS, now=time.time() + 2 * SESSION_GAP
    )
    assert decision.verdict == verdict
    evidence = decision.evidence
    assert evidence.sessions == SESSIONS
    sign = 1 if team == "treatment" else -1
    assert evidence.effect.estimate == pytest.approx(sign * clicked / SESSIONS)
    first_teams = [[team for team in ranked.teams if team != "both"][:1] for ranked in shown]
    assert evidence.sample_ratio.total == sum(map(len, first_teams))
    assert evidence.sample_ratio.treatment == first_teams.count(["treatment"])
    assert not evidence.sample_ratio.mismatch
