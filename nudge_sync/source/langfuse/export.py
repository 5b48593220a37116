"""A folder with Langfuse's blob exports as a source: enriched observations, and scores.

Langfuse writes a file for each stretch of time into `observations_v2/` and `scores/`, named by the
time, and never changes it: https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields
says what is in them. The cursor is the name of the last file of either kind that was read.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from nudge_sync.source import (
    Page,
    SourceError,
    SourceFacts,
    SourceUnreachable,
    format_cursor,
    parse_cursor,
)
from nudge_sync.source.langfuse.observations import LangfuseReader
from nudge_sync.source.langfuse.settings import LangfuseSettings
from nudge_sync.source.openinference.rows import TraceReader
from nudge_sync.source.openinference.settings import DAY_SECONDS
from nudge_sync.source.openinference.spans import Span
from nudge_sync.source.shapes import expect_shape

_BATCH_ROWS = 2000
_BEGINNING = {"observations": "", "scores": ""}
_OBSERVATION_NAMES = {
    "traceId": "trace_id",
    "parentObservationId": "parent_observation_id",
    "sessionId": "session_id",
    "userId": "user_id",
}
_LABEL_TYPES = ("CATEGORICAL", "TEXT")


class LangfuseExport:
    """See `nudge_sync.source.FeedbackSource`."""

    def __init__(self, settings: LangfuseSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._reader = LangfuseReader(settings)

    def describe(self) -> SourceFacts:
        """See `FeedbackSource.describe`."""
        self._list_files("observations_v2")
        return SourceFacts("Langfuse blob exports", "", frozenset())

    def close(self) -> None:
        """See `FeedbackSource.close`."""

    def read_pages(self, cursor: str = "") -> Iterator[Page]:
        """See `FeedbackSource.read_pages`."""
        state = parse_cursor(cursor, _BEGINNING)
        observations = self._list_files("observations_v2")
        # The files of an export have one name, and come in any order: scores wait for observations.
        newest = max((path.name for path in observations), default="")
        scores = [
            path for path in self._list_files("scores") if state["scores"] < path.name <= newest
        ]
        reader = TraceReader(self._settings)
        oldest = time.time() - self._settings.lookback_days * DAY_SECONDS
        for path in observations:
            is_new = path.name > state["observations"]
            if is_new or (scores and path.stat().st_mtime >= oldest):
                for spans in self._read_spans(path):
                    reader.learn(spans)
        for path in observations:
            if path.name > state["observations"]:
                for spans in self._read_spans(path):
                    # Again: more may have come since than the reader remembers.
                    reader.learn(spans)
                    yield Page(list(reader.build_search_rows(spans)), format_cursor(state))
                state["observations"] = path.name
                yield Page([], format_cursor(state))
        for path in scores:
            for batch in self._read_scores(path):
                yield Page(list(reader.build_opinion_rows(batch)), format_cursor(state))
            state["scores"] = path.name
            yield Page([], format_cursor(state))

    def _list_files(self, kind: str) -> list[Path]:
        """Return the files of one kind, oldest first."""
        folders = [path for path in self._folder.rglob(kind) if path.is_dir()]
        if len(folders) > 1:
            raise SourceError(f"{self._folder} holds exports of several projects; name one of them")
        if not folders and kind == "observations_v2":
            raise SourceUnreachable(
                f"{self._folder} has no folder observations_v2; choose enriched observations as "
                "the export's source"
            )
        return sorted(path for folder in folders for path in folder.iterdir() if path.is_file())

    def _read_spans(self, path: Path) -> Iterator[list[Span]]:
        for batch in _read_batches(path):
            with expect_shape(str(path)):
                entries = map(convert_observation, batch)
                kept = [entry for entry in entries if self._is_wanted(entry)]
                spans = list(map(self._reader.parse_observation, kept))
            yield spans

    def _read_scores(self, path: Path) -> Iterator[list[Any]]:
        for batch in _read_batches(path):
            with expect_shape(str(path)):
                entries = map(convert_score, batch)
                kept = [entry for entry in entries if self._is_wanted(entry)]
                scores = list(map(self._reader.parse_score, kept))
            yield [opinion for score in scores if score for opinion in score.opinions]

    def _is_wanted(self, entry: Mapping[str, Any]) -> bool:
        wanted = self._settings.environment
        return not wanted or entry.get("environment") == wanted


def convert_observation(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an exported observation as the API has it."""
    renamed = {name: row.get(exported) for name, exported in _OBSERVATION_NAMES.items()}
    moments = {"startTime": _format(row["start_time"]), "endTime": _format(row.get("end_time"))}
    return {**row, **renamed, **moments, "metadata": dict(row.get("metadata") or {})}


def convert_score(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an exported score as the API has it; a label is in another field than a number."""
    subject = None
    if row.get("observation_id"):
        subject = {"kind": "observation", "id": row["observation_id"], "traceId": row["trace_id"]}
    elif row.get("trace_id"):
        subject = {"kind": "trace", "id": row["trace_id"]}
    is_label = row["data_type"] in _LABEL_TYPES
    return {
        **row,
        "subject": subject,
        "dataType": row["data_type"],
        "value": row["string_value"] if is_label else row["value"],
        "timestamp": _format(row["timestamp"]),
        "createdAt": _format(row["created_at"]),
        "updatedAt": _format(row["updated_at"]),
        "authorUserId": row.get("author_user_id"),
        "metadata": dict(row.get("metadata") or {}),
    }


def _format(moment: Any) -> Any:
    return moment.isoformat() if isinstance(moment, datetime) else moment


def _read_batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    rows = _read_rows(path)
    while batch := list(islice(rows, _BATCH_ROWS)):
        yield batch


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file. Raises SourceError and SourceUnreachable."""
    try:
        if path.suffix == ".parquet":
            from pyarrow.parquet import ParquetFile  # noqa: PLC0415 - an extra of its own

            with ParquetFile(path) as file:
                for batch in file.iter_batches():
                    yield from batch.to_pylist()
        elif path.name.endswith((".jsonl", ".jsonl.gz")):
            with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
                yield from map(json.loads, lines)
        else:
            raise SourceError(f"{path}: choose JSONL or Parquet as the export's file format")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path}: damaged, or still being copied ({error})") from error
    except OSError as error:
        raise SourceUnreachable(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from error
