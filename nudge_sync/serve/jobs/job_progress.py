"""What a job of the daemon reports its batches to."""

from __future__ import annotations

import logging

from nudge_sync.base.progress import Progress
from nudge_sync.base.signals import StopRequest
from nudge_sync.feedback.log.load import EVENTS_STAGE, SEARCHES_STAGE
from nudge_sync.serve.log_lines import log_message

_RECORDS_PER_LOG_LINE = 500_000


def build_job_progress(
    collection: str, stop: StopRequest, records_per_line: int = _RECORDS_PER_LOG_LINE
) -> Progress:
    """Return a Progress that ends the job once `stop` is asked, by raising Interrupted.

    While much feedback is read, it also logs a line for every `records_per_line` records.
    """
    logged_lines = dict.fromkeys((EVENTS_STAGE, SEARCHES_STAGE), 0)

    def report(stage: str, done: int, total: int) -> None:
        del total
        stop.raise_if_requested()
        if stage not in logged_lines or done // records_per_line <= logged_lines[stage]:
            return
        logged_lines[stage] = done // records_per_line
        log_message(logging.INFO, "reading feedback", collection=collection, stage=stage, read=done)

    return report
