"""What the daemon fetches from feedback sources before a cycle; one that is down costs a line."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from nudge_sync.base.debug import format_logged_error
from nudge_sync.base.progress import Progress
from nudge_sync.config import CollectionSettings
from nudge_sync.errors import DatabaseError, Interrupted
from nudge_sync.feedback.fetch.fetch import fetch_feedback
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.prometheus import PrometheusMetrics
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store.target import Target


def start_source_series(
    collections: Mapping[str, CollectionSettings], metrics: PrometheusMetrics
) -> None:
    """Put the counts of every source of every collection at 0."""
    for name, settings in collections.items():
        for source in settings.feedback.sources:
            metrics.start_source_series(name, source.name)


def fetch_sources(
    target: Target, settings: FeedbackSettings, metrics: PrometheusMetrics, progress: Progress
) -> None:
    """Fetch from every source of a collection; one that fails is logged and counted.

    Raises DatabaseError and Interrupted, which end the cycle too.
    """
    for source in settings.sources:
        try:
            report = fetch_feedback(target, settings, source, progress)
        except (DatabaseError, Interrupted):
            metrics.record_source_fetch(target.name, source.name, "failed")
            raise
        except Exception as error:  # noqa: BLE001 - a bug of a plug-in must not end the cycle
            metrics.record_source_fetch(target.name, source.name, "failed")
            log_message(
                logging.WARNING,
                "feedback not fetched",
                collection=target.name,
                source=source.name,
                reason=format_logged_error(error),
            )
            continue
        metrics.record_source_fetch(target.name, source.name, "fetched")
        metrics.record_source_rows(target.name, source.name, report.count_results())
        log_message(
            logging.INFO,
            "feedback fetched",
            collection=target.name,
            source=source.name,
            searches=report.counts["searches"],
            events=report.counts["events"],
            unchanged=report.counts["unchanged"],
            rejected=report.rejected,
            **({"stopped": report.stopped} if report.stopped else {}),
        )
