"""The log of the searches that were ranked over HTTP; a thread stores them in batches."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import numpy as np

from nudge_sync.connector import PointId
from nudge_sync.errors import NudgeSyncError
from nudge_sync.feedback.ingest.batches import BatchImporter
from nudge_sync.feedback.schema.exposure import Exposure, to_exposure_fields
from nudge_sync.serve.log_lines import log_message

_BATCH_SIZE = 500
_FLUSH_SECONDS = 1.0
_CAPACITY = 10_000
"""Searches that wait; further ones are lost, and the log says how many."""


class BatchSearchLog:
    """Takes searches at once and stores them through the importer of the feedback API.

    So an embedded database stays free between two batches. While the database is away, searches
    wait; what it refuses is lost, and the log says so.
    """

    def __init__(self, importer: BatchImporter, collection: str) -> None:
        self._importer, self._collection = importer, collection
        self._rows: deque[dict[str, Any]] = deque()
        self.dropped = 0
        """Searches that were lost."""
        self._overflow = 0
        """Those of them that came while too many waited, and that the log has not told of yet."""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="search-log", daemon=True)
        self._thread.start()

    def search(
        self,
        query_vector: Any,
        shown_ids: Sequence[PointId],
        *,
        text: str = "",
        session: str = "",
        client: str = "",
        query_id: str = "",
        exposure: Exposure | None = None,
    ) -> str:
        """Take a search, and return its query id."""
        assigned_id = query_id or uuid4().hex
        if len(self._rows) >= _CAPACITY:
            with self._lock:
                self._overflow += 1
            return assigned_id
        fields = {} if exposure is None else to_exposure_fields(exposure)
        self._rows.append(
            {
                "query_id": assigned_id,
                "query_vector": np.asarray(query_vector).tolist(),
                "shown": list(shown_ids),
                "text": text,
                "session": session,
                "client": client,
                "time": time.time(),
                **fields,
            }
        )
        return assigned_id

    def close(self, timeout: float) -> None:
        """Store what waits, for at most `timeout` seconds, and stop; the rest is lost."""
        self._closing.set()
        self._thread.join(timeout)
        self._report_overflow()
        if self._rows:
            self._report_loss(len(self._rows), "the daemon ended")

    def _run(self) -> None:
        while not self._closing.wait(_FLUSH_SECONDS):
            self._flush()
            self._report_overflow()
        self._flush()

    def _flush(self) -> None:
        while self._rows:
            batch = [self._rows[place] for place in range(min(_BATCH_SIZE, len(self._rows)))]
            try:
                report = self._importer.store(self._collection, "search", batch, partial=True)
            except NudgeSyncError as error:
                if error.transient:
                    return
                self._report_loss(len(batch), type(error).__name__)
            except Exception as error:  # noqa: BLE001 - a bug must not end the thread
                self._report_loss(len(batch), type(error).__name__)
            else:
                if report.rejected:
                    self._report_loss(report.rejected, "refused")
            for _ in batch:
                self._rows.popleft()

    def _report_overflow(self) -> None:
        with self._lock:
            count, self._overflow = self._overflow, 0
        if count:
            self._report_loss(count, "too many wait")

    def _report_loss(self, count: int, reason: str) -> None:
        self.dropped += count
        log_message(
            logging.ERROR,
            "searches not stored",
            collection=self._collection,
            searches=count,
            reason=reason,
        )
