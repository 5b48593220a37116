"""JSON lines: one object a line, also as OpenSearch dumps and bulk requests write them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any

from nudge_sync.feedback.ingest.readers.raw_rows import RawRow
from nudge_sync.feedback.ingest.text_files import read_lines
from nudge_sync.feedback.schema.rows import parse_json_row
from nudge_sync.feedback.schema.values import BadRow

BULK_ACTIONS = ("index", "create", "update", "delete")


def read_json_lines(stream: BufferedReader) -> Iterator[RawRow]:
    """Yield the object on each line. Empty lines and the actions of bulk requests are skipped."""
    for line, text in read_lines(stream):
        if isinstance(text, BadRow):
            yield RawRow(line, text.detail, text)
        elif text.strip():
            try:
                row = parse_json_row(text)
            except BadRow as bad:
                yield RawRow(line, text, bad)
                continue
            for content in unwrap_document(row):
                yield RawRow(line, text, content)


def is_bulk_action(row: Mapping[str, Any]) -> bool:
    """Return whether an object is the line of a bulk request that comes before a document."""
    [(name, value)] = row.items() if len(row) == 1 else [("", None)]
    return name in BULK_ACTIONS and isinstance(value, dict)


def unwrap_document(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the rows in one JSON object: mostly itself.

    OpenSearch wraps a document in `_source`, and in a bulk update in `doc`; the action lines of
    bulk requests hold none. KILT's tasks keep what answers them in `output`.
    """
    if is_bulk_action(row):
        return []
    document = row.get("_source")
    if isinstance(document, dict) and "query_id" not in row:
        return [document]
    document = row.get("doc")
    if isinstance(document, dict) and row.keys() <= {"doc", "doc_as_upsert", "upsert"}:
        return [document]
    if isinstance(row.get("output"), list) and "input" in row:
        return _read_kilt(row)
    return [row]


def _read_kilt(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    ids = [
        source["wikipedia_id"]
        for output in row["output"]
        if isinstance(output, dict)
        for source in output.get("provenance") or ()
        if isinstance(source, dict) and source.get("wikipedia_id") is not None
    ]
    relevant = list(dict.fromkeys(map(str, ids)))
    return [{"query_id": row.get("id"), "text": row["input"], "relevant": relevant}]


def format_row(content: Mapping[str, Any] | BadRow) -> str:
    """Return a row as one line of JSON, for the rejects file, or what is wrong with it."""
    return content.detail if isinstance(content, BadRow) else json.dumps(content, default=str)
