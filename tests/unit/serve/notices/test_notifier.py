"""Which outcomes the webhook is told of."""

from __future__ import annotations

import logging
from typing import get_args

import pytest

from nudge_sync.serve.jobs.outcomes import CycleOutcome, DrillOutcome, LogLine, ReviewOutcome
from nudge_sync.serve.notices.notifier import Notifier
from nudge_sync.serve.notices.webhook import Webhook

LINE = LogLine(logging.INFO, "it happened", {"reason": "so", "revision": 3})


class Collected(Webhook):
    """Keeps the events instead of posting them."""

    def __init__(self):
        super().__init__("http://localhost")
        self.sent = []

    def send(self, event):
        self.sent.append(event)


@pytest.fixture
def webhook():
    return Collected()


def test_cycles_that_decided_something(webhook):
    sender = Notifier(webhook)
    for outcome in get_args(CycleOutcome):
        sender.report_cycle("docs", outcome, LINE)
    types = [event.type for event in webhook.sent]
    assert types == ["cycle.applied", "cycle.refused", "cycle.failed"]
    assert webhook.sent[0].text == "nudge-sync, docs: it happened (revision 3): so"


def test_a_canary_that_starts_and_not_one_that_goes_on(webhook):
    sender = Notifier(webhook)
    sender.report_cycle("docs", "canary", LINE)
    sender.report_cycle("docs", "canary", LogLine(logging.INFO, "started", {"revision": 3}))
    assert [event.type for event in webhook.sent] == ["canary.started"]


def test_every_decision_of_a_review(webhook):
    sender = Notifier(webhook)
    for outcome in get_args(ReviewOutcome):
        sender.report_review("docs", outcome, LINE)
    types = {event.type for event in webhook.sent}
    assert {"experiment.harm", "experiment.rolled_back", "experiment.promoted"} <= types
    assert len(types) == len(get_args(ReviewOutcome))


def test_drills_that_did_not_give_everything_back(webhook):
    sender = Notifier(webhook)
    for outcome in get_args(DrillOutcome):
        sender.report_drill("docs", outcome, LINE)
    assert [event.type for event in webhook.sent] == ["drill.damaged", "drill.failed"]


def test_a_lease_that_stays_held_is_told_of_once(webhook):
    sender = Notifier(webhook)
    for outcome in ("busy", "busy", "unchanged", "busy", "busy", "busy", "busy"):
        sender.report_cycle("docs", outcome, LINE)
    sender.report_cycle("tools", "busy", LINE)
    assert [(event.type, event.collection) for event in webhook.sent] == [("lease.stuck", "docs")]


def test_without_a_webhook_nothing_happens():
    Notifier(None).report_review("docs", "harm", LINE)
