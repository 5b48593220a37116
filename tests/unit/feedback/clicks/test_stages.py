"""Stages run in order, and leave what they are handed as it is."""

import numpy as np

from nudge_sync.feedback.clicks.stages import ClickContext, filter_clicks, run_stages
from nudge_sync.feedback.log.columns import ActionSelection
from nudge_sync.feedback.log.load import load_log
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.simulated_clicks import DIMENSION


def drop_first(clicks, context):
    kept = np.arange(len(clicks)) > 0
    excluded = np.arange(len(context.query_groups)) == clicks.search[0]
    return filter_clicks(clicks, kept, "first", "it is the first", excluded_searches=excluded)


def test_stages_run_in_their_order_and_change_nothing_that_they_are_handed(click_log):
    log = load_log(*click_log, FeedbackSettings(), DIMENSION)
    groups = np.zeros(len(log.searches.query_ids), np.int32)
    context = ClickContext(log, FeedbackSettings(), groups)
    clicks = ActionSelection(log.behaviour, np.arange(len(log.behaviour), dtype=np.int32))
    left, reports = run_stages((drop_first, drop_first), clicks, context)
    assert (len(clicks), len(left)) == (len(log.behaviour), len(log.behaviour) - 2)
    assert [report.funnel.kept for report in reports] == [len(clicks) - 1, len(clicks) - 2]
    excluded = context.exclude_searches(reports)
    assert set(np.flatnonzero(excluded.query_groups < 0)) == set(clicks.search[:2].tolist())
    assert not groups.any()
