"""One log, however its columns are ordered and spelled, stores the same records."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.feedback_store import try_import

LABELS = [
    {"query_id": "q1", "point": 4, "grade": 2.5, "time": 1_700_000_000, "session": "s 1"},
    {"query_id": "q1", "point": 5, "grade": 0.0, "time": 1_700_000_001, "session": None},
    {"query_id": "q2", "point": 6, "grade": None, "time": 1_700_000_002, "session": "s,2"},
    {"query_id": "q3", "point": 7, "grade": 1.0, "time": None, "session": 's"3'},
]
SPELLINGS = {
    "query_id": ["query_id", "query-id", "queryId", "Query ID", "QID", "query.id"],
    "point": ["point", "corpus-id", "doc_id", "docid", "Doc ID", "point.id", "object_id"],
    "grade": ["grade", "rating", "score", "Relevance", "label"],
    "time": ["time", "timestamp", "TS", "@timestamp"],
    "session": ["session", "session_id", "SessionId", "session.id"],
}
EXPECTED = sorted(
    [
        ("q1", "relevant", 4, None, 2.5, 1_700_000_000.0),
        ("q1", "relevant", 5, None, 0.0, 1_700_000_001.0),
        ("q3", "relevant", 7, None, 1.0, 0.0),
    ],
    key=str,
)
TIMES = {
    "s": lambda time: time,
    "text": str,
    "ms": lambda time: time * 1000,
    "us": lambda time: time * 1_000_000,
    "ns": lambda time: time * 1_000_000_000,
}


@st.composite
def draw_names(draw) -> dict[str, str]:
    """Draw the order of the columns and the spelling of each: field -> name."""
    fields = draw(st.permutations(list(SPELLINGS)))
    return {field: draw(st.sampled_from(SPELLINGS[field])) for field in fields}


def rename(row: dict[str, Any], names: dict[str, str], unit: str, id_type: Any) -> dict[str, Any]:
    values = {
        **row,
        "point": id_type(row["point"]),
        "time": None if row["time"] is None else TIMES[unit](row["time"]),
    }
    return {name: values[field] for field, name in names.items()}


def nest(row: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in row.items():
        outer, _, inner = name.partition(".")
        if inner:
            nested.setdefault(outer, {})[inner] = value
        else:
            nested[name] = value
    return nested


def format_cell(value: Any, hole: str, *, decimal_comma: bool) -> str:
    if value is None:
        return hole
    text = str(value)
    return text.replace(".", ",") if decimal_comma and isinstance(value, float) else text


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    names=draw_names(),
    unit=st.sampled_from(list(TIMES)),
    id_type=st.sampled_from([int, str, float]),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    mark=st.sampled_from(["", "\ufeff"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    hole=st.sampled_from(["", "NaN", "NULL", "None"]),
    has_index=st.booleans(),
    decimal_comma=st.booleans(),
)
def test_csv_in_any_spelling(
    tmp_path, names, unit, id_type, delimiter, quoting, mark, line_end, hole, has_index,
    decimal_comma,
):  # fmt: skip
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
    writer.writerow([""] * has_index + list(names.values()))
    for number, label in enumerate(LABELS):
        row = rename(label, names, unit, id_type)
        cells = [format_cell(value, hole, decimal_comma=decimal_comma) for value in row.values()]
        writer.writerow([number] * has_index + cells)
    path = tmp_path / "labels.csv"
    path.write_bytes((mark + text.getvalue()).encode())
    check(path)


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    names=draw_names(),
    unit=st.sampled_from(list(TIMES)),
    id_type=st.sampled_from([int, str, float]),
    layout=st.sampled_from(["lines", "array", "pretty", "bulk", "dump", "reply"]),
    is_nested=st.booleans(),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_json_in_any_spelling(tmp_path, names, unit, id_type, layout, is_nested, line_end):
    rows = [rename(label, names, unit, id_type) for label in LABELS]
    if is_nested:
        rows = [nest(row) for row in rows]
    lines = {
        "lines": lambda: list(map(json.dumps, rows)),
        "array": lambda: [json.dumps(rows)],
        "pretty": lambda: [json.dumps(row, indent=2) for row in rows],
        "bulk": lambda: [line for row in rows for line in ('{"index": {}}', json.dumps(row))],
        "dump": lambda: [json.dumps({"_index": "labels", "_source": row}) for row in rows],
        "reply": lambda: [json.dumps({"hits": {"hits": [{"_source": row} for row in rows]}})],
    }[layout]()
    path = tmp_path / "labels.json"
    path.write_bytes(line_end.join([*lines, ""]).encode())
    check(path)


def check(path: Path) -> None:
    trial = try_import(path, embeds=False)
    assert trial.events == EXPECTED
    assert dict(trial.report.left_out) == {"without a grade": 1}
    assert trial.report.rejected == 0
