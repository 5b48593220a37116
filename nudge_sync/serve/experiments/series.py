"""The metrics of canaries and holdbacks, for Prometheus."""

from __future__ import annotations

import math
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from nudge_sync.canary.status import ExperimentStatus
from nudge_sync.experiment.evidence.decision import Evidence
from nudge_sync.serve.jobs.outcomes import REVIEW_LABELS, ReviewOutcome

KINDS = ("canary", "holdback")
ARMS = ("control", "treatment")
_BOUNDS = ("estimate", "low", "high")


def remove_collection(gauges: Iterable[Gauge], collection: str) -> None:
    """Take every series of a collection out of some gauges, whatever its other labels are."""
    for gauge in gauges:
        samples = [sample for metric in gauge.collect() for sample in metric.samples]
        for sample in samples:
            if sample.labels["collection"] == collection:
                gauge.remove(*sample.labels.values())


class ExperimentSeries:
    """What runs on each collection, what it showed, and what was decided.

    While nothing runs the figures are NaN; whether something runs, and the decisions, are there
    from the start, at 0.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauges: list[Gauge] = []

        def create_gauge(name: str, text: str, *labels: str) -> Gauge:
            full_name, label_names = f"nudge_sync_{name}", ["collection", *labels]
            self._gauges.append(Gauge(full_name, text, label_names, registry=registry))
            return self._gauges[-1]

        self._running = create_gauge(
            "experiment_running", "1 while a canary or a holdback runs.", "kind"
        )
        self._paused = create_gauge(
            "experiment_paused",
            "1 while the data of what runs allow no conclusion, or reviews fail.",
        )
        self._sessions = create_gauge(
            "experiment_sessions", "Sessions of what runs that are over and count."
        )
        self._assigned = create_gauge(
            "experiment_assigned", "What chance decided so far, by arm.", "arm"
        )
        self._effect = create_gauge(
            "experiment_effect",
            "Effect of the treatment, all clicks alike or as the guardrail weighs them.",
            "of",
            "bound",
        )
        self._decisions = Counter(
            "nudge_sync_experiment_decisions",
            "What reviews of canaries and holdbacks decided.",
            ["collection", "decision"],
            registry=registry,
        )

    def start_series(self, collection: str) -> None:
        """Put what is counted or yes or no at 0, where it has no value yet."""
        for kind in KINDS:
            self._running.labels(collection, kind)
        self._paused.labels(collection)
        for decision in REVIEW_LABELS:
            self._decisions.labels(collection, decision)

    def stop_series(self, collection: str) -> None:
        """Forget the gauges of a collection that is not reviewed any more; its counts stay."""
        remove_collection(self._gauges, collection)

    def record_status(self, collection: str, status: ExperimentStatus) -> None:
        """Set what runs and what it showed."""
        running, decision = status.running, status.decision
        for kind in KINDS:
            is_running = running is not None and running.kind == kind
            self._running.labels(collection, kind).set(is_running)
        self._paused.labels(collection).set(decision is not None and decision.verdict == "paused")
        self._record_evidence(collection, decision.evidence if decision else None)

    def record_failure(self, collection: str) -> None:
        """Say that what runs cannot be judged: its review failed, and did not just find it busy."""
        self._paused.labels(collection).set(True)

    def record_decision(self, collection: str, decision: ReviewOutcome) -> None:
        """Count what a review decided."""
        self._decisions.labels(collection, decision).inc()

    def _record_evidence(self, collection: str, evidence: Evidence | None) -> None:
        counts = (math.nan, math.nan)
        if evidence is not None:
            ratio = evidence.sample_ratio
            counts = (ratio.total - ratio.treatment, ratio.treatment)
        for arm, count in zip(ARMS, counts, strict=True):
            self._assigned.labels(collection, arm).set(count)
        self._sessions.labels(collection).set(evidence.sessions if evidence else math.nan)
        for name in ("effect", "unmoved"):
            for bound in _BOUNDS:
                value = getattr(getattr(evidence, name), bound) if evidence else math.nan
                self._effect.labels(collection, name, bound).set(value)
