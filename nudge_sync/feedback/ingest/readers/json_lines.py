"""JSON lines: one object a line, also as OpenSearch dumps and bulk requests write them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from io import BufferedReader
from typing import Any

from nudge_sync.feedback.ingest.readers.raw_rows import RawRow
from nudge_sync.feedback.ingest.text_files import read_lines
from nudge_sync.feedback.schema.fields import find_fields
from nudge_sync.feedback.schema.rows import parse_json_row
from nudge_sync.feedback.schema.values import BadRow

BULK_ACTIONS = ("index", "create", "update", "delete")
_RATING_LISTS = ("ratings", "judgments", "judgements", "qrels", "relevance")


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


def unwrap_document(row: Mapping[str, Any]) -> Sequence[Mapping[str, Any] | BadRow]:
    """Return the rows in one JSON object: mostly itself.

    OpenSearch wraps a document in `_source`, and in a bulk update in `doc`; the action lines of
    bulk requests hold none. KILT's tasks keep what answers them in `output`, other lists of queries
    in `ratings`, `judgments` or `relevance`.
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
    name = next((name for name in _RATING_LISTS if isinstance(row.get(name), (list, dict))), None)
    return [row] if name is None else _read_rating_list(row, name)


def _read_rating_list(row: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any] | BadRow]:
    """Return a row for each rating of a query that has them as a list, or as point -> grade.

    A list of numbers may be points, or the grades of another list.
    """
    query = {key: value for key, value in row.items() if key != name}
    ratings = row[name]
    if isinstance(ratings, dict):
        return [{**query, "point": point, "grade": grade} for point, grade in ratings.items()]
    if all(isinstance(rating, dict) for rating in ratings):
        return [query | _name_point(rating) for rating in ratings]
    rivals = [key for key, value in query.items() if _may_be_graded(value, ratings)]
    if rivals:
        graded = f'"{name}": {{point: grade}}'
        detail = f"{name!r} may hold points or the grades of {rivals[0]!r}: write {graded}"
        return [BadRow("wrong type", detail)]
    return [{**query, "relevant": ratings}]


def _may_be_graded(value: Any, numbers: Sequence[Any]) -> bool:
    """Return whether `numbers` may be the grades of a list of ids."""
    are_numbers = all(isinstance(number, (int, float)) for number in numbers)
    is_list = isinstance(value, list) and len(value) == len(numbers) > 0
    return are_numbers and is_list and not any(isinstance(entry, float) for entry in value)


def _name_point(rating: dict[str, Any]) -> dict[str, Any]:
    id_name = next((name for name in ("id", "_id") if name in rating), None)
    has_point = "point" in find_fields(rating)
    return rating if has_point or id_name is None else {"point": rating[id_name], **rating}


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
