"""An experiment of an MLflow server as a source of feedback.

Traces are read in the order in which they began. One is stored when it ends, so that those of the
last `settle_minutes` are read again. Assessments come later: the traces of the last `lookback_days`
are asked for again, and the assessments that changed since the last time are handed over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from nudge_sync.source import (
    Page,
    Row,
    SourceFacts,
    format_cursor,
    parse_cursor,
    read_secret,
    refuse_secrets_in_table,
    validate_settings,
)
from nudge_sync.source.http import JsonClient
from nudge_sync.source.mlflow.traces import parse_trace, read_assessments
from nudge_sync.source.openinference.rows import TraceReader
from nudge_sync.source.openinference.settings import (
    DAY_SECONDS,
    MINUTE_SECONDS,
    OVERLAP_SECONDS,
    TraceSettings,
)
from nudge_sync.source.openinference.spans import Opinion, Span, parse_time

MLFLOW_TOKEN_VARIABLE = "MLFLOW_TRACKING_TOKEN"  # noqa: S105 - the name of a variable
_PAGE_TRACES = 100
_BEGINNING = {"began": 0, "opinions": 0.0}


class MlflowSettings(TraceSettings):
    """The table of an MLflow source."""

    url: str = "http://localhost:5000"
    experiment: str = "Default"
    """The experiment's name."""
    token_file: Path | None = None
    """A file with the token, where the environment has no MLFLOW_TRACKING_TOKEN."""
    settle_minutes: Annotated[float, Field(ge=0)] = 10.0
    """How long after it began a trace may still come to be stored."""
    lookback_days: Annotated[float, Field(ge=0)] = 7.0
    """How long after its trace an assessment is still seen."""


def open_mlflow(section: Mapping[str, Any]) -> MlflowSource:
    """Return the source that a `[[feedback.sources]]` table describes. Raises ConfigError."""
    refuse_secrets_in_table(section, "feedback.sources", MLFLOW_TOKEN_VARIABLE, "token_file")
    return MlflowSource(validate_settings(MlflowSettings, section, "feedback.sources"))


class MlflowSource:
    """See `nudge_sync.source.FeedbackSource`."""

    def __init__(self, settings: MlflowSettings) -> None:
        self._settings = settings
        token = read_secret(MLFLOW_TOKEN_VARIABLE, settings.token_file, "token_file")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = JsonClient(settings.url, headers)

    def describe(self) -> SourceFacts:
        """See `FeedbackSource.describe`."""
        self._find_experiment()
        return SourceFacts("MLflow", "", frozenset())

    def close(self) -> None:
        """See `FeedbackSource.close`."""
        self._client.close()

    def read_pages(self, cursor: str = "") -> Iterator[Page]:
        """See `FeedbackSource.read_pages`."""
        state = parse_cursor(cursor, _BEGINNING)
        now = time.time()
        experiment_id = self._find_experiment()
        reader = TraceReader(self._settings)
        newest = state["opinions"]
        if state["began"]:
            for rows, moment in self._read_late_opinions(reader, experiment_id, state):
                newest = max(newest, moment)
                yield Page(rows, format_cursor(state))
        settled = int((now - self._settings.settle_minutes * MINUTE_SECONDS) * 1000)
        for infos in self._list_infos(experiment_id, state["began"]):
            spans, opinions = self._read_traces(infos)
            reader.learn(spans)
            rows = [*reader.build_search_rows(spans), *reader.build_opinion_rows(opinions)]
            newest = max([newest, *(opinion.time for opinion in opinions)])
            began = min(settled, int(parse_time(infos[-1]["request_time"]) * 1000))
            state = {**state, "began": max(state["began"], began)}
            yield Page(rows, format_cursor(state))
        # Not by a clock that is ahead: what comes until then would not be seen.
        yield Page([], format_cursor({**state, "opinions": min(newest, now)}))

    def _find_experiment(self) -> str:
        path = "/api/2.0/mlflow/experiments/get-by-name"
        answer = self._client.get(path, {"experiment_name": self._settings.experiment})
        return str(answer["experiment"]["experiment_id"])

    def _read_late_opinions(
        self, reader: TraceReader, experiment_id: str, state: Mapping[str, Any]
    ) -> Iterator[tuple[list[Row], float]]:
        """Yield what changed on traces that were read before, and the moment of the newest."""
        start = int((time.time() - self._settings.lookback_days * DAY_SECONDS) * 1000)
        since = state["opinions"] - OVERLAP_SECONDS
        for infos in self._list_infos(experiment_id, start, state["began"]):
            assessed = [info for info in infos if _is_assessed_since(info, since)]
            if assessed:
                spans, opinions = self._read_traces(assessed)
                late = [opinion for opinion in opinions if opinion.time > since]
                reader.learn(spans)
                moment = max((opinion.time for opinion in late), default=0.0)
                yield list(reader.build_opinion_rows(late)), moment

    def _list_infos(
        self, experiment_id: str, start: int, end: int | None = None
    ) -> Iterator[list[Any]]:
        """Yield what is known of traces that began from `start` on, oldest first, in batches.

        start, end: milliseconds since 1970, both included.
        """
        location = {"experiment_id": experiment_id}
        condition = f"timestamp_ms >= {start}"
        condition += "" if end is None else f" AND timestamp_ms <= {end}"
        body: dict[str, Any] = {
            "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": location}],
            "filter": condition,
            "max_results": _PAGE_TRACES,
            "order_by": ["timestamp_ms ASC"],
        }
        token = ""
        while True:
            page = {**body, **({"page_token": token} if token else {})}
            answer = self._client.post("/api/3.0/mlflow/traces/search", page)
            if answer.get("traces"):
                yield answer["traces"]
            token = answer.get("next_page_token") or ""
            if not token:
                return

    def _read_traces(self, infos: Sequence[Mapping[str, Any]]) -> tuple[list[Span], list[Opinion]]:
        """Return the spans and the opinions of traces, in their order."""
        spans: list[Span] = []
        opinions: list[Opinion] = []
        remaining = iter(infos)
        while batch := list(islice(remaining, _PAGE_TRACES)):
            ids = [("trace_ids", info["trace_id"]) for info in batch]
            answer = self._client.get("/api/3.0/mlflow/traces/batchGet", ids)
            traces = {trace["trace_info"]["trace_id"]: trace for trace in answer.get("traces", ())}
            for info in batch:
                if info["trace_id"] in traces:
                    trace_spans = parse_trace(traces[info["trace_id"]])
                    spans += trace_spans
                    opinions += read_assessments(info, _find_root(trace_spans))
        return spans, opinions


def _find_root(spans: Sequence[Span]) -> str:
    return next((span.span_id for span in spans if not span.parent_id), "")


def _is_assessed_since(info: Mapping[str, Any], since: float) -> bool:
    assessments = info.get("assessments") or ()
    return any(parse_time(each["last_update_time"]) > since for each in assessments)
