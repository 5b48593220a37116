"""The series of canaries and holdbacks, by what a review found."""

from __future__ import annotations

import math

from nudge_sync.canary.review import review
from nudge_sync.canary.start import start
from nudge_sync.canary.status import read_status
from nudge_sync.config import CollectionSettings
from nudge_sync.serve.jobs.outcomes import REVIEW_LABELS, describe_review
from nudge_sync.serve.prometheus import PrometheusMetrics
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.experiments.running import read_running_experiment
from tests.support.experiments.visits import log_sessions
from tests.support.passing_plan import make_passing_plan
from tests.support.tracked_collection import TrackedCollection
from tests.support.unit_vectors import perturb_rows

SETTINGS = CollectionSettings(canary=CanarySettings(share=1.0, min_sessions=50))
HALF_A_DAY = 43_200


def read_series(metrics):
    lines = metrics.render().decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if "experiment" in line and line[0] != "#"]
    return {name: float(value) for name, _, value in pairs if "_created" not in name}


def test_what_runs_what_it_showed_and_what_was_decided(tmp_path):
    metrics = PrometheusMetrics(["docs"])
    series = read_series(metrics)
    assert series['nudge_sync_experiment_running{collection="docs",kind="canary"}'] == 0
    decision = 'nudge_sync_experiment_decisions_total{collection="docs",decision="%s"}'
    assert [series[decision % name] for name in REVIEW_LABELS] == [0] * len(REVIEW_LABELS)

    tracked = TrackedCollection("memory", tmp_path, "")
    target = tracked.target()
    vectors = perturb_rows(tracked.originals, 1)
    start(target, SETTINGS, make_passing_plan(target, SETTINGS, dict(enumerate(vectors))))
    running = read_running_experiment(target)
    log_sessions(target, running, "control")
    now = running.started_at / 1000 + HALF_A_DAY
    metrics.experiments.record_status("docs", read_status(target, SETTINGS, now=now))
    series = read_series(metrics)
    assert series['nudge_sync_experiment_running{collection="docs",kind="canary"}'] == 1
    assert series['nudge_sync_experiment_sessions{collection="docs"}'] == 80
    assigned = 'nudge_sync_experiment_assigned{arm="%s",collection="docs"}'
    assert [series[assigned % arm] for arm in ("control", "treatment")] == [40, 40]
    effect = 'nudge_sync_experiment_effect{bound="%s",collection="docs",of="effect"}'
    low, estimate, high = (series[effect % bound] for bound in ("low", "estimate", "high"))
    assert low <= estimate == -1 <= high < 0

    report = review(target, SETTINGS, now=now)
    outcome, line = describe_review(report)
    assert (outcome, line.details["revision"]) == ("harm", 1)
    metrics.experiments.record_decision("docs", outcome)
    report = review(target, SETTINGS, now=now)
    assert describe_review(report) is None
    metrics.experiments.record_status("docs", report.status)
    series = read_series(metrics)
    assert series[decision % "harm"] == 1
    assert series['nudge_sync_experiment_running{collection="docs",kind="canary"}'] == 0
    assert math.isnan(series['nudge_sync_experiment_sessions{collection="docs"}'])
