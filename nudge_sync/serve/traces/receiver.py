"""Spans that come in any order and in many requests, joined to searches and citations.

A search whose vector is on the span of another request waits for it, in memory, for
`hold_seconds`; then its text is embedded, where [feedback.embed] says by what. An answer that came
before its search is looked at again when the search comes, for as long.
While the database does not answer, searches that waited long enough wait on, with the vectors of
their texts; once as many wait as may, senders are told to come again later.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nudge_sync.errors import ConfigError, NudgeSyncError, Unreachable
from nudge_sync.feedback.embedding.providers import open_embedder
from nudge_sync.feedback.ingest.batches import BatchImporter, RowKind
from nudge_sync.serve.traces.messages import PartialSuccess
from nudge_sync.settings.embed import EmbedSettings
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.settings.traces import TraceIntakeSettings
from nudge_sync.source.openinference.rows import TraceReader, is_search
from nudge_sync.source.openinference.settings import DEFAULT_POINT, TraceSettings
from nudge_sync.source.openinference.spans import Span

MAX_WAITING_SPANS = 10_000
"""Searches, and answers, that wait at once; beyond them the oldest waits no longer."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds until searches are released again after that failed; doubled each time it fails."""
_MAX_REASON_LENGTH = 500
_NO_VECTOR = "missing field: no span with its vector came, and nothing embeds its text"


@dataclass
class _Rejections:
    """The searches with a row that was refused."""

    reasons: dict[str, str] = field(default_factory=dict)
    """Id of the search -> why."""
    unlisted: int = 0
    """Rows beyond those that an import lists."""

    def summarise(self) -> PartialSuccess:
        if not self.reasons:
            return PartialSuccess()
        count = len(self.reasons) + self.unlisted
        search_id, reason = next(iter(self.reasons.items()))
        more = f", and {count - 1} more" if count > 1 else ""
        return PartialSuccess(count, f"search {search_id}: {reason}"[:_MAX_REASON_LENGTH] + more)


@dataclass
class TraceReceiver:
    """Takes the spans of one collection's searches. All methods may be called in any thread.

    Raises what `BatchImporter.store` does: spans of a request that was not stored come again.
    """

    importer: BatchImporter
    name: str
    """The collection."""
    settings: TraceIntakeSettings
    embed: EmbedSettings | None
    """What embeds the texts of searches whose vector did not come."""
    _reader: TraceReader = field(init=False)
    _searches: OrderedDict[str, tuple[float, Span]] = field(default_factory=OrderedDict)
    """Id of a search without a vector -> until when it waits, and its span."""
    _answers: OrderedDict[str, tuple[float, Span]] = field(default_factory=OrderedDict)
    """Id of a span that is no search -> until when it is looked at again, and the span."""
    _vectors: dict[str, Any] = field(default_factory=dict)
    """Text of a search that waits on -> its vector, which was paid for."""
    _pause: float = 0.0
    """Seconds that releasing pauses since it failed; 0: it did not."""
    _paused_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        point = self.settings.point or DEFAULT_POINT
        self._reader = TraceReader(TraceSettings(point=point, cited=self.settings.cited))

    @property
    def is_configured(self) -> bool:
        """Whether the collection is still there, after the configuration was read again."""
        return self.name in self.importer.vector_names

    def receive(self, spans: Sequence[Span]) -> PartialSuccess:
        """Store what is whole of the spans, keep what waits, and say what was rejected.

        Raises Unreachable while as many searches wait as may, and cannot be stored.
        """
        with self._lock:
            if self._pause and len(self._searches) >= MAX_WAITING_SPANS:
                raise Unreachable(f"{len(self._searches)} searches wait to be stored already")
            self._reader.learn(spans)
            now = time.monotonic()
            ready = self._select_ready(spans, now)
            # Each once: the same row twice would be refused.
            looked_at = {span.search_id: span for span in ready}
            looked_at |= {span.search_id: span for span in self._select_answers(ready)}
            rejected = self._store(list(looked_at.values()))
            for span in ready:
                self._searches.pop(span.search_id, None)
            self._keep_answers(spans, now)
            return rejected

    def release_due(self, *, everything: bool = False) -> PartialSuccess:
        """Store the searches that waited long enough, with what embeds them, and drop the others.

        everything: those that still wait too, as at the end. Where the database does not answer,
        they wait on, and this does nothing for a while.
        """
        now = time.monotonic()
        with self._lock:
            if not self.is_configured and self._searches:
                count = len(self._searches)
                self._searches.clear()
                return PartialSuccess(count, "the collection is not configured any more")
            if now < self._paused_until and not everything:
                return PartialSuccess()
            due = [span for until, span in self._searches.values() if everything or until <= now]
            self._answers = OrderedDict(
                (key, waiting) for key, waiting in self._answers.items() if waiting[0] > now
            )
        if not due:
            return PartialSuccess()
        # Without the lock: an endpoint may be slow, and applications go on sending spans.
        self._vectors |= self._embed(due)
        with self._lock:
            due = [span for span in due if span.search_id in self._searches]
            try:
                rejected = self._store(due, self._vectors)
            except Exception:
                self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
                self._paused_until = time.monotonic() + self._pause
                raise
            self._pause, self._paused_until = 0.0, 0.0
            self._vectors.clear()
            for span in due:
                del self._searches[span.search_id]
            return rejected

    def count_waiting(self) -> int:
        """Return how many searches wait."""
        return len(self._searches)

    def _select_ready(self, spans: Sequence[Span], now: float) -> list[Span]:
        """Return the spans to look at now: all but searches that wait, and those that waited."""
        waiting = [span for _, span in self._searches.values()]
        ready = [span for span in waiting if self._reader.has_vector(span)]
        for span in spans:
            if is_search(span) and not self._reader.has_vector(span):
                until = now + self.settings.hold_seconds
                self._searches.setdefault(span.search_id, (until, span))
            else:
                ready.append(span)
        return ready

    def _select_answers(self, ready: Iterable[Span]) -> list[Span]:
        """Return earlier spans of the traces of searches that are ready now."""
        traces = {span.trace_id for span in ready if is_search(span)}
        return [span for _, span in self._answers.values() if span.trace_id in traces]

    def _keep_answers(self, spans: Sequence[Span], now: float) -> None:
        if self.settings.cited:
            until = now + self.settings.hold_seconds
            for span in spans:
                if not is_search(span):
                    self._answers[span.search_id] = (until, span)
                    # One that comes again has just come: it is not the first to be dropped.
                    self._answers.move_to_end(span.search_id)
        while len(self._answers) > MAX_WAITING_SPANS:
            self._answers.popitem(last=False)
        if len(self._searches) > MAX_WAITING_SPANS:
            # They are released by the next call of `release_due`, the oldest first.
            excess = list(self._searches)[: len(self._searches) - MAX_WAITING_SPANS]
            self._searches.update({key: (now, self._searches[key][1]) for key in excess})

    def _embed(self, spans: Sequence[Span]) -> Mapping[str, Any]:
        """Return text -> vector for searches that no span brought a vector of, where it is new."""
        texts = [text for span in spans if (text := _get_text(span)) and text not in self._vectors]
        if self.embed is None or not texts:
            return {}
        try:
            return open_embedder(self.embed).embed(texts)
        except NudgeSyncError:
            # Rejected, and counted: to wait on would fill the memory with an endpoint that is down.
            return {}

    def _store(
        self, spans: Sequence[Span], vectors: Mapping[str, Any] | None = None
    ) -> PartialSuccess:
        rejected = _Rejections()
        searches, events = [], []
        for row in map(dict, self._reader.build_search_rows(spans)):
            if row["type"] == "event":
                events.append(row)
                continue
            if "query_vector" not in row and row.get("text") in (vectors or {}):
                row["query_vector"] = (vectors or {})[row["text"]]
            if "query_vector" in row:
                searches.append(row)
            else:
                rejected.reasons[row["query_id"]] = _NO_VECTOR
        self._store_rows("search", searches, rejected)
        self._store_rows("event", events, rejected)
        return rejected.summarise()

    def _store_rows(self, kind: RowKind, rows: list[dict[str, Any]], rejected: _Rejections) -> None:
        if not rows:
            return
        report = self.importer.store(self.name, kind, rows, partial=True)
        for row, bad in report.refusals:
            rejected.reasons.setdefault(str(rows[row.line].get("query_id")), str(bad))
        rejected.unlisted += report.rejected - len(report.refusals)


def _get_text(span: Span) -> str:
    text = span.get("input", "value")
    return text if isinstance(text, str) else ""


def open_receivers(
    importer: BatchImporter, settings: Mapping[str, FeedbackSettings]
) -> dict[str, TraceReceiver]:
    """Return the receivers of collections, by their names.

    settings: of the collections; those without [feedback.traces] get none. Raises ConfigError for
    an expression that is none, and for what cannot embed.
    """
    receivers = {}
    for name, feedback in settings.items():
        if feedback.traces is None:
            continue
        if feedback.embed is not None:
            open_embedder(feedback.embed)
        try:
            receivers[name] = TraceReceiver(importer, name, feedback.traces, feedback.embed)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"collections.{name}.feedback.traces: {reason}") from None
    return receivers
