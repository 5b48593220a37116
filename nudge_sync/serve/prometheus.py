"""What the daemon tells Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MINUTES = (1, 5, 15, 60, 300, 900, 3600, 14400)


class Gauges:
    """One registry, one set of series a collection."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._cycles = self._counter("cycles", "Cycles by how they ended.", "outcome")
        self._rows = self._counter("rows", "Rows written, drifted or missing.", "result")
        self._gate = self._counter("gate", "Decisions of the gate.", "result")
        self._drills = self._counter("drills", "Restore drills by how they ended.", "result")
        self._success = self._gauge(
            "last_success_timestamp_seconds", "End of the last cycle that did what it should."
        )
        self._lease = self._gauge("lease_held", "1 while this process works on the collection.")
        self._held_out = self._gauge(
            "held_out", "Held-out score of the last plan.", "metric", "when"
        )
        self._points = self._gauge("points", "Points in the collection when a cycle began.")
        self._judged = self._gauge("judged_points", "Points with evidence in the last plan.")
        self._batches = self._counter(
            "feedback_batches",
            "Batches sent over HTTP by how they were answered.",
            "kind",
            "status",
        )
        self._taken = self._counter(
            "feedback_rows", "Rows sent over HTTP, accepted or why not.", "kind", "result"
        )
        self._next = self._gauge("next_run_timestamp_seconds", "When the next cycle is due.")
        self._seconds = Histogram(
            "nudge_sync_cycle_seconds",
            "How long cycles took.",
            ["collection"],
            buckets=_MINUTES,
            registry=self._registry,
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"nudge_sync_{name}", text, ["collection", *labels], registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"nudge_sync_{name}", text, ["collection", *labels], registry=self._registry)

    def working(self, collection: str, *, now: bool) -> None:
        """A cycle begins or is over."""
        self._lease.labels(collection).set(now)

    def due(self, collection: str, timestamp: float) -> None:
        """When the next cycle comes, in seconds since 1970."""
        self._next.labels(collection).set(timestamp)

    def ended(self, collection: str, outcome: str, seconds: float) -> None:
        """A cycle ended with `outcome` after `seconds`."""
        self._cycles.labels(collection, outcome).inc()
        self._seconds.labels(collection).observe(seconds)

    def drilled(self, collection: str, result: str) -> None:
        """A restore drill ended."""
        self._drills.labels(collection, result).inc()

    def left_out(self, collection: str) -> None:
        """A cycle that was due did not start."""
        self._cycles.labels(collection, "left out").inc()

    def succeeded(self, collection: str, timestamp: float) -> None:
        """A cycle did what it should, also where there was nothing to write."""
        self._success.labels(collection).set(timestamp)

    def measured(self, collection: str, summary: Mapping[str, Any]) -> None:
        """What a cycle found and wrote, from its summary."""
        passed = "passed" if summary["gate"]["passed"] else "refused"
        self._gate.labels(collection, passed).inc()
        self._judged.labels(collection).set(summary["judged"])
        for name in ("written", "drifted", "missing"):
            self._rows.labels(collection, name).inc(summary.get(name, 0))
        for when in ("before", "after"):
            for metric, value in summary[when].items():
                self._held_out.labels(collection, metric, when).set(value)

    def counted(self, collection: str, points: int) -> None:
        """How many points a collection has."""
        self._points.labels(collection).set(points)

    def batch(self, collection: str, kind: str, status: int) -> None:
        """A batch of feedback was answered; "" for one that reached no collection."""
        self._batches.labels(collection, kind, str(int(status))).inc()

    def rows(self, collection: str, kind: str, results: Mapping[str, int]) -> None:
        """What became of rows of a batch: accepted, or the reason why not."""
        for result, count in results.items():
            self._taken.labels(collection, kind, result).inc(count)

    def page(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return generate_latest(self._registry)
