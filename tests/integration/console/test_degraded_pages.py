"""Every page over as little as there can be, and over what is damaged, unknown or cut short."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nudge_sync.base.progress import ignore_progress
from nudge_sync.canary.status import ExperimentStatus
from nudge_sync.console.rendering import UNKNOWN
from nudge_sync.console.work.feedback_view import FeedbackView
from nudge_sync.console.work.trial import ListedSearch, SearchTrial
from nudge_sync.evaluate.inspection.rank_states import StateRankings
from nudge_sync.experiment.evidence.credit import SessionCredits
from nudge_sync.experiment.evidence.decision import Decision, weigh_evidence
from nudge_sync.feedback.log.collection_log import load_collection_log
from nudge_sync.feedback.stats import summarise_log
from nudge_sync.planning.plan import ColdFigures, GainFigures, RecallFigures
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.experiments.running import RunningExperiment
from tests.support.console.console_site import (
    ACTION_TOKEN,
    apply_plan,
    open_console,
)
from tests.support.sample_collection import SETTINGS, open_sample_collection

PAGES = (
    *("/", "/c/docs/plan", "/c/docs/plan/searches?side=won", "/c/docs/plan/searches?side=lost"),
    *("/c/docs/plan/points", "/c/docs/point", "/c/docs/point?id=3", "/c/docs/point?id=nothing"),
    *("/c/docs/try", "/c/docs/try?query=unknown", "/c/docs/feedback", "/c/docs/experiment"),
    *("/c/docs/revisions", "/c/docs/revisions/1", "/c/docs/revisions/compare?left=1&right=1"),
)
ACTIONS = (
    *("apply", "rollback", "rollback?to=7", "rollback?to=originals", "hold", "release", "drill"),
    *("unlock", "canary-start", "canary-promote", "canary-stop"),
)
EXPERIMENT = RunningExperiment("canary", 3, 0.1, "interleave", started_at=1_777_626_015_000)


@pytest.fixture
def bare_site(tmp_path):
    """A console over a collection that nobody ever searched."""
    with open_sample_collection("memory", tmp_path) as sample, open_console(sample) as opened:
        yield opened


def open_every_page(site, client):
    """Open each page and each question, and once more when what it works out is there."""
    for path in (*PAGES, *(f"/c/docs/do/{action}" for action in ACTIONS)):
        for _ in range(2):
            page = client.get(path)
            assert page.status_code in {200, 404}, (path, page.text)
            site.wait_for_jobs()
        assert "a bug" not in page.text, path


def show(site, client, key, path, result):
    """Return the page at `path` where `result` is what was worked out for it."""
    site.console.jobs.forget(*key)
    site.console.jobs.start(key, "work", lambda _: result)
    site.wait_for_jobs()
    page = client.get(path)
    assert page.status_code == 200, page.text
    return page.text


def test_a_collection_that_nobody_ever_searched(bare_site):
    client = bare_site.browse(ACTION_TOKEN)
    open_every_page(bare_site, client)
    bare_site.compute_plan(client)
    open_every_page(bare_site, client)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"method": None, "metric": 3, "before": [], "after": None, "judged": "all", "gate": 3},
        {"gate": {"gain": None, "interval": [None, 0.5]}, "before": {}, "metric": "ndcg@10"},
        {"gate": {"gain": 0.1, "interval": 3}, "parameters": {"rate": None}, "later": {"a": [{}]}},
    ],
)
def test_a_revision_that_says_less_or_other_things(memory_sample, memory_site, stored):
    client = memory_site.browse(ACTION_TOKEN)
    apply_plan(memory_site, client)
    ledger = memory_sample.target().open_ledger()
    ledger.add_details(ledger.read_entry(1), plan=stored)
    open_every_page(memory_site, client)


def test_a_ledger_that_cannot_be_read(memory_sample, memory_site):
    client = memory_site.browse(ACTION_TOKEN)
    apply_plan(memory_site, client)
    records = memory_sample.target().ledger_records
    damaged = [
        replace(record, document={**record.document, "seal": "0" * 64})
        for batch in records.scan(vectors=False)
        for record in batch
    ]
    records.put(damaged)
    for path in PAGES:
        page = client.get(path)
        memory_site.wait_for_jobs()
        assert "a bug" not in page.text + client.get(path).text, path


@pytest.mark.parametrize(
    "figures",
    [
        {"before": {}, "after": {}, "originals": {}},
        {"after": {}, "originals": {}, "parameters": {"rate": None, "on": True, "name": "x"}},
        {"cold": ColdFigures(0.0, "log", None, None), "index_recall": None},
        {
            "cold": ColdFigures(1e-5, "assumed", None, GainFigures(-1e-5, None, None, 0)),
            "index_recall": RecallFigures(0.0, 0, "wide", ""),
        },
    ],
)
def test_a_plan_that_knows_less(memory_site, figures):
    client = memory_site.browse(ACTION_TOKEN)
    memory_site.compute_plan(client)
    view = memory_site.console.plans.get("docs")
    plan = replace(view.plan, figures=replace(view.plan.figures, **figures))
    memory_site.console.plans.put("docs", replace(view, plan=plan))
    open_every_page(memory_site, client)


def describe_status(decision, running=EXPERIMENT):
    return ExperimentStatus("docs", running, None, decision, None, 0).summary()


@pytest.mark.parametrize("verdict", ["continue", "promote", "harm", "inconclusive", "paused"])
@pytest.mark.parametrize("kind", ["canary", "holdback"])
def test_an_experiment_whose_log_cannot_be_read(memory_site, verdict, kind):
    decision = Decision(verdict, "the log of searches and clicks cannot be read", None)
    status = describe_status(decision, replace(EXPERIMENT, kind=kind))
    client = memory_site.browse(ACTION_TOKEN)
    page = show(memory_site, client, ("experiment", "docs"), "/c/docs/experiment", status)
    assert "cannot be read" in page
    # Not 0: nobody knows.
    assert f"<dt>Sessions</dt><dd>{UNKNOWN}</dd>" in page
    assert "Treatment against control" not in page


@pytest.mark.parametrize("interleaved", [True, False])
def test_an_experiment_in_which_nobody_took_part(memory_site, interleaved):
    nobody, none = np.empty(0), np.empty(0, bool)
    credits_ = SessionCredits(interleaved, nobody, nobody, none, none, {}, 0.0, 0.0)
    evidence = weigh_evidence(credits_, CanarySettings(), 0.1)
    for sessions in (0, 1):
        decision = Decision("continue", "not sure", replace(evidence, sessions=sessions))
        status = describe_status(decision)
        client = memory_site.browse(ACTION_TOKEN)
        page = show(memory_site, client, ("experiment", "docs"), "/c/docs/experiment", status)
        assert f"<dt>Sessions</dt><dd>{sessions}</dd>" in page


def test_a_search_that_finds_nothing(memory_site):
    client = memory_site.browse(ACTION_TOKEN)
    for planned in (None, []):
        trial = SearchTrial(ListedSearch("", ""), (), StateRankings([], [], planned))
        key = ("trial", "docs", "q", "", "")
        page = show(memory_site, client, key, "/c/docs/try?query=q", trial)
        assert page.count("Nothing was found.") == (2 if planned is None else 3)


def test_no_share_reads_as_none_or_all_that_is_not(memory_site):
    client = memory_site.browse(ACTION_TOKEN)
    running = replace(EXPERIMENT, share=0.004)
    status = describe_status(Decision("continue", "not sure", None), running)
    page = show(memory_site, client, ("experiment", "docs"), "/c/docs/experiment", status)
    assert "<dt>Share</dt><dd>0.4 %</dd>" in page
    with memory_site.console.opener.open_target("docs") as target:
        log = load_collection_log(target, SETTINGS, ignore_progress)
    stats = summarise_log(log, SETTINGS.feedback, 10_000_000).summary()
    view = FeedbackView(stats, [], [])
    page = show(memory_site, client, ("feedback", "docs"), "/c/docs/feedback", view)
    assert "<dt>Points with evidence</dt><dd>0.0004 %</dd>" in page
