"""Rows of feedback, files of them, and what an import of them stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DIMENSION = 4
SEARCH = {"query_id": "q1", "query_vector": [3, 0, 0, 4], "text": "wing", "time": 1_700_000_000}
EVENT = {"query_id": "q1", "action": "relevant", "point": 7, "position": 2, "session": "s1"}


def write_lines(path: Path, *lines: object) -> Path:
    """Write texts as they are, half surrogates as the byte they escape, and rows as JSON."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_bytes("".join(text + "\n" for text in texts).encode("utf-8", "surrogateescape"))
    return path


def write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    from pyarrow import Table, parquet  # noqa: PLC0415

    parquet.write_table(Table.from_pylist(list(rows)), path)
    return path


def read_documents(records: Any) -> list[dict[str, Any]]:
    """Return the documents of records that are kept in a dictionary."""
    return [record.document for record in records.kept.values()]
