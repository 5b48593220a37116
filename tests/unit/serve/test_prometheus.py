"""Each series, by what was recorded."""

from __future__ import annotations

import math
import re
from importlib.metadata import version
from typing import get_args

import pytest

from nudge_sync.serve.jobs.outcomes import CycleOutcome, DrillOutcome
from nudge_sync.serve.prometheus import PrometheusMetrics

SUMMARY = {
    "gate": {"passed": True},
    "judged": 40,
    "written": 7,
    "drifted": 1,
    "before": {"ndcg@10": 0.5},
    "after": {"ndcg@10": 0.625},
}


def read_series(metrics: PrometheusMetrics) -> dict[str, float]:
    """Series -> value, without the times at which counters were made."""
    lines = metrics.render().decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs if "_created" not in name}


def test_points_that_stay_drifted_while_nothing_is_written_count_once():
    metrics = PrometheusMetrics()
    for drifted, revision in [
        (4, None),
        (4, None),
        (6, None),
        (6, 1),
        (2, 2),
        (2, None),
        (1, None),
    ]:
        metrics.record_plan("docs", SUMMARY | {"drifted": drifted, "revision": revision})
    series = read_series(metrics)
    # Four, two more, and, after what the first revision took over, two and two.
    assert series['nudge_sync_rows_total{collection="docs",result="drifted"}'] == 10


def test_a_plan_is_counted_by_the_gates_decision_and_its_rows():
    metrics = PrometheusMetrics()
    metrics.record_plan("docs", SUMMARY)
    metrics.record_plan("docs", SUMMARY | {"gate": {"passed": False}, "written": 0, "drifted": 0})
    series = read_series(metrics)
    assert series['nudge_sync_gate_total{collection="docs",result="passed"}'] == 1
    assert series['nudge_sync_gate_total{collection="docs",result="refused"}'] == 1
    assert series['nudge_sync_rows_total{collection="docs",result="written"}'] == 7
    assert series['nudge_sync_rows_total{collection="docs",result="drifted"}'] == 1
    assert series['nudge_sync_rows_total{collection="docs",result="missing"}'] == 0
    assert series['nudge_sync_judged_points{collection="docs"}'] == 40
    held_out = 'nudge_sync_held_out{collection="docs",metric="ndcg@10",when="%s"}'
    assert (series[held_out % "before"], series[held_out % "after"]) == (0.5, 0.625)


def test_what_happens_to_answers_without_feedback_is_told_as_far_as_it_is_known():
    metrics = PrometheusMetrics()
    gains = {
        "warm": {"mean": 0.05, "low": 0.04, "high": 0.06, "queries": 80},
        "cold": {"mean": -0.25, "low": None, "high": None, "queries": 1},
    }
    metrics.record_plan("docs", {**SUMMARY, "cold": {"share": 0.35, "source": "log", **gains}})
    gain = 'nudge_sync_answer_gain{answers="%s",bound="%s",collection="docs"}'
    series = read_series(metrics)
    assert series['nudge_sync_cold_share{collection="docs"}'] == 0.35
    assert [series[gain % ("warm", bound)] for bound in ("low", "mean", "high")] == [
        *(0.04, 0.05, 0.06)
    ]
    assert series[gain % ("cold", "mean")] == -0.25
    assert math.isnan(series[gain % ("cold", "low")])
    metrics.record_plan("docs", SUMMARY)
    later = read_series(metrics)
    assert math.isnan(later['nudge_sync_cold_share{collection="docs"}'])
    assert math.isnan(later[gain % ("warm", "mean")])


def test_the_recall_of_the_index_is_that_of_the_last_plan_which_asked_it():
    metrics = PrometheusMetrics()
    recall = {"share": 0.875, "queries": 32, "reference": "exact", "warning": ""}
    metrics.record_plan("docs", {**SUMMARY, "index_recall": recall})
    assert read_series(metrics)['nudge_sync_index_recall{collection="docs"}'] == 0.875
    metrics.record_plan("docs", {**SUMMARY, "index_recall": None})
    assert math.isnan(read_series(metrics)['nudge_sync_index_recall{collection="docs"}'])


def test_cycles_are_counted_by_their_outcome_and_timed():
    metrics = PrometheusMetrics()
    metrics.record_cycle("docs", "applied", 3.0)
    metrics.record_cycle("docs", "applied", 70.0)
    metrics.record_skipped_cycle("docs")
    series = read_series(metrics)
    assert series['nudge_sync_cycles_total{collection="docs",outcome="applied"}'] == 2
    assert series['nudge_sync_cycles_total{collection="docs",outcome="left out"}'] == 1
    buckets = {
        float(match[1]): count
        for name, count in series.items()
        if (match := re.search(r'seconds_bucket\{collection="docs",le="([0-9.]+)"', name))
    }
    assert (buckets[1.0], buckets[5.0], buckets[60.0], buckets[300.0]) == (0, 1, 1, 2)


@pytest.mark.parametrize("is_working", [True, False])
def test_the_lease_is_held_while_a_cycle_works(is_working):
    metrics = PrometheusMetrics()
    metrics.set_working("docs", is_working=is_working)
    assert read_series(metrics)['nudge_sync_lease_held{collection="docs"}'] == is_working


def test_batches_and_their_rows_are_counted_by_how_they_were_answered():
    metrics = PrometheusMetrics()
    metrics.record_batch("", "search", 404)
    metrics.record_batch("docs", "event", 200)
    metrics.record_feedback_rows("docs", "event", {"accepted": 3, "unknown point": 1})
    series = read_series(metrics)
    batches = 'nudge_sync_feedback_batches_total{collection="%s",kind="%s",status="%s"}'
    assert series[batches % ("", "search", "404")] == 1
    assert series[batches % ("docs", "event", "200")] == 1
    rows = 'nudge_sync_feedback_rows_total{collection="docs",kind="event",result="%s"}'
    assert (series[rows % "accepted"], series[rows % "unknown point"]) == (3, 1)


def test_lists_are_counted_by_arm_and_fallback():
    metrics = PrometheusMetrics()
    metrics.record_ranking("docs", "treatment", "")
    metrics.record_ranking("docs", "treatment", "depth")
    metrics.record_ranking("docs", "", "")
    series = read_series(metrics)
    rankings = 'nudge_sync_rankings_total{arm="%s",collection="docs",fallback="%s"}'
    assert series[rankings % ("treatment", "depth")] == 1
    assert series[rankings % ("treatment", "")] == series[rankings % ("", "")] == 1


def test_every_count_is_there_at_0_from_the_start():
    metrics = PrometheusMetrics(["docs", "tools"])
    metrics.start_feedback_series(["docs"])
    metrics.start_traces_series(["docs"])
    metrics.start_source_series("docs", "phoenix")
    series = read_series(metrics)
    for name in ("docs", "tools"):
        for label in (*get_args(CycleOutcome), "left out"):
            key = f'nudge_sync_cycles_total{{collection="{name}",outcome="{label}"}}'
            assert series[key] == 0
        for label in get_args(DrillOutcome):
            assert series[f'nudge_sync_drills_total{{collection="{name}",result="{label}"}}'] == 0
        assert series[f'nudge_sync_on_hold{{collection="{name}"}}'] == 0
        assert series[f'nudge_sync_model_changed{{collection="{name}"}}'] == 0
        assert series[f'nudge_sync_cycle_seconds_count{{collection="{name}"}}'] == 0
    batches = 'nudge_sync_feedback_batches_total{collection="%s",kind="%s",status="%s"}'
    for kind in ("search", "event", "traces"):
        for name, status in (("docs", 200), ("docs", 400), ("docs", 503), ("", 401), ("", 404)):
            assert series[batches % (name, kind, status)] == 0
    rows = 'nudge_sync_feedback_rows_total{collection="docs",kind="traces",result="rejected"}'
    fetched = 'nudge_sync_source_rows_total{collection="docs",result="new",source="phoenix"}'
    assert series[rows] == series[fetched] == 0
    # A time or a score of 0 would say something that is not so.
    assert not any("timestamp" in name or "held_out" in name for name in series)


def test_the_build_and_the_process_are_told():
    page = PrometheusMetrics().render().decode()
    build = re.search(r"^nudge_sync_build_info\{(.*)\} 1.0$", page, re.MULTILINE)
    assert build is not None
    assert f'version="{version("nudge-sync")}"' in build[1]
    assert "process_resident_memory_bytes" in page


def test_two_registries_share_nothing():
    one, other = PrometheusMetrics(), PrometheusMetrics()
    one.record_drill("docs", "restored")
    assert "docs" in one.render().decode()
    assert "docs" not in other.render().decode()


def test_a_collection_without_cycles_loses_its_gauges_and_keeps_its_counts():
    metrics = PrometheusMetrics(["docs", "old"])
    metrics.set_next_run("old", 1.0)
    metrics.record_cycle("old", "applied", 1.0)
    for name in ("docs", "old"):
        metrics.record_plan(name, {**SUMMARY, "cold": {"share": 0.5, "cold": {"mean": -0.25}}})
    metrics.stop_series("old")
    metrics.stop_series("never")
    series = read_series(metrics)
    assert 'nudge_sync_next_run_timestamp_seconds{collection="old"}' not in series
    assert 'nudge_sync_on_hold{collection="old"}' not in series
    for name in ("held_out", "answer_gain", "model_changed"):
        assert {
            re.search('collection="([a-z]+)"', key)[1] for key in series if f"sync_{name}{{" in key
        } == {"docs"}
    assert 'nudge_sync_on_hold{collection="docs"}' in series
    assert series['nudge_sync_cycles_total{collection="old",outcome="applied"}'] == 1


def test_a_reload_that_failed_is_seen_until_the_next():
    metrics = PrometheusMetrics()
    name = "nudge_sync_config_last_reload_successful"
    assert read_series(metrics)[name] == 1
    for is_successful in (False, True):
        metrics.set_config_reloaded(is_successful=is_successful)
        assert read_series(metrics)[name] == is_successful
