"""The metrics of the daemon, for Prometheus."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
)
from prometheus_client.exposition import generate_latest

from nudge_sync.feedback.ingest.batches import RowKind
from nudge_sync.serve.experiments.series import ExperimentSeries, remove_collection
from nudge_sync.serve.jobs.outcomes import CYCLE_LABELS, DRILL_LABELS

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ROW_LABELS = ("written", "drifted", "missing")
GATE_LABELS = ("passed", "refused")
FETCH_LABELS = ("fetched", "failed")
FEEDBACK_STATUSES = (200, 400, 413, 422, 500, 503)
"""How a batch for a collection is answered."""
TRACES_STATUSES = (200, 400, 413, 500, 503)
"""How traces for a collection are answered."""
STATUSES_WITHOUT_COLLECTION = (401, 403, 404, 415)
"""How a request is answered that reached no collection."""
TRACES_LABELS = ("accepted", "rejected")
SOURCE_ROW_LABELS = ("new", "unchanged")
FEEDBACK_KINDS: tuple[RowKind, ...] = get_args(RowKind)
TRACES_KIND = "traces"
"""What the label `kind` says of requests with traces; their rows are spans."""
_CYCLE_SECONDS_BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 14400)


class PrometheusMetrics:
    """A registry of its own, with one set of series a collection.

    Every count and every yes or no of `collections` is there from the start, at 0: an alert on
    `increase()` does not see the step from no series to 1. What there is no value of yet, a score
    or a time, is left out until there is one.
    """

    def __init__(self, collections: Iterable[str] = ()) -> None:
        self._registry = CollectorRegistry()
        self._gauges: list[Gauge] = []
        ProcessCollector(registry=self._registry)
        build = Info("nudge_sync_build", "Version of nudge-sync.", registry=self._registry)
        build.info({"version": version("nudge-sync"), "python": platform.python_version()})
        self._cycles = self._create_counter("cycles", "Cycles by how they ended.", "outcome")
        self._former_rows: dict[tuple[str, str], int] = {}
        """Collection and kind of row -> how many the last cycle found that wrote nothing."""
        self._rows = self._create_counter("rows", "Rows written, drifted or missing.", "result")
        self._gate_decisions = self._create_counter("gate", "Decisions of the gate.", "result")
        self._drills = self._create_counter("drills", "Restore drills by how they ended.", "result")
        self._last_success = self._create_gauge(
            "last_success_timestamp_seconds", "End of the last cycle that did what it should."
        )
        self._lease_held = self._create_gauge(
            "lease_held", "1 while this process works on the collection."
        )
        self._on_hold = self._create_gauge(
            "on_hold", "1 while a person keeps cycles from writing to the collection."
        )
        self._model_changed = self._create_gauge(
            "model_changed", "1 while documents and feedback are of two embedding models."
        )
        self._held_out = self._create_gauge(
            "held_out", "Held-out score of the last plan.", "metric", "when"
        )
        self._answer_gain = self._create_gauge(
            "answer_gain",
            "Change of the metric by the last plan on warm answers, which have feedback, and on "
            "cold ones; NaN if unknown.",
            "answers",
            "bound",
        )
        self._cold_share = self._create_gauge(
            "cold_share", "How much cold answers counted in the last plan; NaN if not at all."
        )
        self._index_recall = self._create_gauge(
            "index_recall",
            "Share of the unjudged points near a query that the index found for the last plan; "
            "NaN if it was not asked.",
        )
        self._points = self._create_gauge("points", "Points in the collection when a cycle began.")
        self._judged = self._create_gauge("judged_points", "Points with evidence in the last plan.")
        self._feedback_batches = self._create_counter(
            "feedback_batches",
            "Batches sent over HTTP by how they were answered.",
            "kind",
            "status",
        )
        self._feedback_rows = self._create_counter(
            "feedback_rows", "Rows sent over HTTP, accepted or why not.", "kind", "result"
        )
        self._source_fetches = self._create_counter(
            "source_fetches", "Fetches from feedback sources by how they ended.", "source", "result"
        )
        self._source_rows = self._create_counter(
            "source_rows", "Rows fetched from feedback sources.", "source", "result"
        )
        self._rankings = self._create_counter(
            "rankings", "Lists ranked over HTTP.", "arm", "fallback"
        )
        self._next_run = self._create_gauge(
            "next_run_timestamp_seconds", "When the next cycle is due."
        )
        self._cycle_seconds = Histogram(
            "nudge_sync_cycle_seconds",
            "How long cycles took.",
            ["collection"],
            buckets=_CYCLE_SECONDS_BUCKETS,
            registry=self._registry,
        )
        self.experiments = ExperimentSeries(self._registry)
        self._config_reloaded = Gauge(
            "nudge_sync_config_last_reload_successful",
            "1 unless the configuration was refused when it was last read again.",
            registry=self._registry,
        )
        self._config_reloaded.set(1)
        for name in collections:
            self.start_series(name)

    def start_series(self, collection: str) -> None:
        """Put counts and yes-or-no series of a collection at 0, where they have no value yet."""
        for counter, labels in (
            (self._cycles, CYCLE_LABELS),
            (self._drills, DRILL_LABELS),
            (self._rows, ROW_LABELS),
            (self._gate_decisions, GATE_LABELS),
        ):
            for label in labels:
                counter.labels(collection, label)
        for gauge in (
            self._lease_held,
            self._on_hold,
            self._model_changed,
            self._points,
            self._judged,
        ):
            gauge.labels(collection)
        self.experiments.start_series(collection)
        self._cycle_seconds.labels(collection)

    def stop_series(self, collection: str) -> None:
        """Forget the gauges of a collection that has no cycles any more; its counts stay.

        Those of its experiments are not among them.
        """
        remove_collection(self._gauges, collection)

    def set_config_reloaded(self, *, is_successful: bool) -> None:
        """Set whether the configuration was taken over when it was last read again."""
        self._config_reloaded.set(is_successful)

    def start_feedback_series(self, collections: Iterable[str]) -> None:
        """Put the counts of feedback over HTTP at 0, for collections that take some."""
        for collection in collections:
            for kind in FEEDBACK_KINDS:
                self._feedback_rows.labels(collection, kind, "accepted")
                self._start_batches(collection, kind, FEEDBACK_STATUSES)
        for kind in FEEDBACK_KINDS:
            self._start_batches("", kind, STATUSES_WITHOUT_COLLECTION)

    def start_traces_series(self, collections: Iterable[str]) -> None:
        """Put the counts of traces over HTTP at 0, for collections that take some."""
        for collection in collections:
            self._start_batches(collection, TRACES_KIND, TRACES_STATUSES)
            for result in TRACES_LABELS:
                self._feedback_rows.labels(collection, TRACES_KIND, result)
        self._start_batches("", TRACES_KIND, STATUSES_WITHOUT_COLLECTION)

    def _start_batches(self, collection: str, kind: str, statuses: Iterable[int]) -> None:
        for status in statuses:
            self._feedback_batches.labels(collection, kind, str(status))

    def _create_counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"nudge_sync_{name}", text, ["collection", *labels], registry=self._registry)

    def _create_gauge(self, name: str, text: str, *labels: str) -> Gauge:
        full_name, label_names = f"nudge_sync_{name}", ["collection", *labels]
        self._gauges.append(Gauge(full_name, text, label_names, registry=self._registry))
        return self._gauges[-1]

    def set_working(self, collection: str, *, is_working: bool) -> None:
        """Set whether a cycle of the collection is under way."""
        self._lease_held.labels(collection).set(is_working)

    def set_model_changed(self, collection: str, *, has_changed: bool) -> None:
        """Set whether the last cycle found documents and feedback to be of two models."""
        self._model_changed.labels(collection).set(has_changed)

    def set_on_hold(self, collection: str, *, is_on_hold: bool) -> None:
        """Set whether a person keeps cycles from writing to the collection."""
        self._on_hold.labels(collection).set(is_on_hold)

    def set_next_run(self, collection: str, timestamp: float) -> None:
        """Set when the next cycle is due, in seconds since 1970."""
        self._next_run.labels(collection).set(timestamp)

    def record_cycle(self, collection: str, outcome: str, seconds: float) -> None:
        """Count a cycle that ended with `outcome` after `seconds`."""
        self._cycles.labels(collection, outcome).inc()
        self._cycle_seconds.labels(collection).observe(seconds)

    def record_drill(self, collection: str, result: str) -> None:
        """Count a restore drill that ended with `result`."""
        self._drills.labels(collection, result).inc()

    def record_skipped_cycle(self, collection: str) -> None:
        """Count a cycle that was due and did not start."""
        self._cycles.labels(collection, "left out").inc()

    def set_last_success(self, collection: str, timestamp: float) -> None:
        """Set when a cycle last did what it should, in seconds since 1970."""
        self._last_success.labels(collection).set(timestamp)

    def record_plan(self, collection: str, summary: Mapping[str, Any]) -> None:
        """Record what a cycle found and wrote, from the fields of `apply --json`."""
        decision = "passed" if summary["gate"]["passed"] else "refused"
        self._gate_decisions.labels(collection, decision).inc()
        self._judged.labels(collection).set(summary["judged"])
        model = summary.get("model") or {}
        self.set_model_changed(collection, has_changed=bool(model.get("changed")))
        for name in ROW_LABELS:
            self._rows.labels(collection, name).inc(self._count_new_rows(collection, name, summary))
        for when in ("before", "after"):
            for metric, value in summary[when].items():
                self._held_out.labels(collection, metric, when).set(value)
        self._record_cold(collection, summary.get("cold") or {})
        recall = summary.get("index_recall") or {}
        self._index_recall.labels(collection).set(recall.get("share", math.nan))

    def _count_new_rows(self, collection: str, name: str, summary: Mapping[str, Any]) -> int:
        """Return how many rows a cycle wrote, or found drifted or missing and none did before.

        Until a plan is written, each cycle finds the same ones again.
        """
        count = int(summary.get(name, 0))
        if name == "written":
            return count
        former = self._former_rows.get((collection, name), 0)
        is_written = summary.get("revision") is not None
        self._former_rows[collection, name] = 0 if is_written else count
        return max(0, count - former)

    def _record_cold(self, collection: str, cold: Mapping[str, Any]) -> None:
        """Set the share of cold answers, and what they and warm ones gain: the `cold` field."""
        self._cold_share.labels(collection).set(cold.get("share", math.nan))
        for answers in ("warm", "cold"):
            gain = cold.get(answers) or {}
            for bound in ("mean", "low", "high"):
                value = gain.get(bound)
                self._answer_gain.labels(collection, answers, bound).set(
                    math.nan if value is None else value
                )

    def set_point_count(self, collection: str, points: int) -> None:
        """Set how many points the collection has."""
        self._points.labels(collection).set(points)

    def record_batch(self, collection: str, kind: str, status: int) -> None:
        """Count a batch of feedback by its HTTP status.

        collection: "" for a batch that reached none.
        """
        self._feedback_batches.labels(collection, kind, str(int(status))).inc()

    def record_feedback_rows(self, collection: str, kind: str, results: Mapping[str, int]) -> None:
        """Count rows of a batch by their result: accepted, or the reason why not."""
        for result, count in results.items():
            self._feedback_rows.labels(collection, kind, result).inc(count)

    def start_source_series(self, collection: str, source: str) -> None:
        """Put the counts of a feedback source at 0."""
        for result in FETCH_LABELS:
            self._source_fetches.labels(collection, source, result)
        for result in SOURCE_ROW_LABELS:
            self._source_rows.labels(collection, source, result)

    def record_source_fetch(self, collection: str, source: str, result: str) -> None:
        """Count a fetch from a feedback source that ended with `result`."""
        self._source_fetches.labels(collection, source, result).inc()

    def record_source_rows(self, collection: str, source: str, results: Mapping[str, int]) -> None:
        """Count fetched rows by their result: new, unchanged, or the reason why not."""
        for result, count in results.items():
            self._source_rows.labels(collection, source, result).inc(count)

    def list_intake(self, collection: str) -> list[tuple[str, str, int]]:
        """Return whence rows of feedback came since the start, their result, and how many, sorted.

        Rows sent over HTTP come from their kind ("search", "event", "traces"), fetched ones from
        their source; results without a row are left out.
        """
        counts = []
        for counter, way in ((self._feedback_rows, "kind"), (self._source_rows, "source")):
            for metric in counter.collect():
                counts += [
                    (sample.labels[way], sample.labels["result"], int(sample.value))
                    for sample in metric.samples
                    if sample.name.endswith("_total")
                    and sample.labels["collection"] == collection
                    and sample.value
                ]
        return sorted(counts)

    def record_ranking(self, collection: str, arm: str, fallback: str) -> None:
        """Count a list by its arm and by why it is not the arm's own; both may be ""."""
        self._rankings.labels(collection, arm, fallback).inc()

    def render(self) -> bytes:
        """Return all series in Prometheus's text format."""
        return generate_latest(self._registry)
