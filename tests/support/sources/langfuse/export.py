"""Blob exports of Langfuse, written from what its client sent.

The fields are those documented at
https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nudge_sync.source import FeedbackSource
from nudge_sync.source.langfuse.source import open_langfuse
from nudge_sync.testing.source_conformance import LoggedOpinion, LoggedSearch
from tests.support.sources.langfuse.world import LangfuseWorld

_TYPES_WITH_TEXT = ("CATEGORICAL", "TEXT")


class LangfuseExportWorld(LangfuseWorld):
    """An export run after each time that something was logged."""

    def __init__(self, folder: Path, suffix: str, *product: Any, **section: Any) -> None:
        super().__init__(*product)
        self.folder = folder
        self.suffix = suffix
        self.section = {"export": folder, **section}
        self.exported: set[str] = set()
        self.runs = 0
        self.export()

    def open(self) -> FeedbackSource:
        return open_langfuse(self.section)

    def open_unreachable(self) -> FeedbackSource:
        return open_langfuse({**self.section, "export": self.folder / "gone"})

    def log_searches(self, searches: Sequence[LoggedSearch]) -> None:
        super().log_searches(searches)
        self.export()

    def log_opinions(self, opinions: Sequence[LoggedOpinion]) -> None:
        super().log_opinions(opinions)
        self.export()

    def export(self) -> None:
        """Write what came in since the last run, a file of each kind."""
        self.runs += 1
        for kind, entries, build in (
            ("observations_v2", self.server.observations, build_observation_row),
            ("scores", self.server.scores, build_score_row),
        ):
            new = [entry for key, entry in entries.items() if key not in self.exported]
            self.exported |= entries.keys()
            path = self.folder / "project" / kind / f"2026-01-01T{self.runs:06}{self.suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            WRITERS[self.suffix](path, list(map(build, new)))


def build_observation_row(observation: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": observation["id"],
        "trace_id": observation["traceId"],
        "project_id": observation["projectId"],
        "environment": observation["environment"],
        "type": observation["type"],
        "parent_observation_id": observation["parentObservationId"] or "",
        "start_time": format_exported(observation["startTime"]),
        "end_time": format_exported(observation["endTime"]),
        "name": observation["name"],
        "metadata": observation["metadata"],
        "input": observation["input"] or "",
        "output": observation["output"] or "",
        "user_id": observation["userId"],
        "session_id": observation["sessionId"],
    }


def build_score_row(score: dict[str, Any]) -> dict[str, Any]:
    subject = score["subject"]
    is_observation = subject["kind"] == "observation"
    has_text = score["dataType"] in _TYPES_WITH_TEXT
    return {
        "id": score["id"],
        "timestamp": format_exported(score["timestamp"]),
        "project_id": score["projectId"],
        "environment": score["environment"],
        "trace_id": subject["traceId"] if is_observation else subject["id"],
        "observation_id": subject["id"] if is_observation else None,
        "session_id": None,
        "name": score["name"],
        # The index of a category; a text is 0.
        "value": 1.0 if has_text else float(score["value"]),
        "string_value": score["value"] if has_text else None,
        "source": score["source"],
        "data_type": score["dataType"],
        "comment": score["comment"],
        "metadata": score["metadata"],
        "created_at": format_exported(score["createdAt"]),
        "updated_at": format_exported(score["updatedAt"]),
    }


def format_exported(moment: str) -> str:
    return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M:%S.%f")


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_zipped_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write metadata as a map, and moments as moments."""
    converted = [
        {
            name: list(value.items())
            if name == "metadata"
            else datetime.fromisoformat(value)
            if name in MOMENTS and value
            else value
            for name, value in row.items()
        }
        for row in rows
    ]
    names = rows[0] if rows else ["id"]
    types = {
        "metadata": pa.map_(pa.string(), pa.string()),
        "value": pa.float64(),
        **dict.fromkeys(MOMENTS, pa.timestamp("us")),
    }
    schema = pa.schema([(name, types.get(name, pa.string())) for name in names])
    pq.write_table(pa.Table.from_pylist(converted, schema), path)


MOMENTS = ("start_time", "end_time", "timestamp", "created_at", "updated_at")
WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    ".jsonl": write_json_lines,
    ".jsonl.gz": write_zipped_lines,
    ".parquet": write_parquet,
}
