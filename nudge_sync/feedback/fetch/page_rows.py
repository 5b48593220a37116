"""The rows of a page of a feedback source, as the import takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.schema.fields import normalise_row
from nudge_sync.feedback.schema.values import BadRow
from nudge_sync.source import Row


def build_page_source(name: str, rows: Sequence[Row], first_line: int) -> Source:
    """Return the rows of a page under the names of `SPELLINGS`, numbered from `first_line`."""
    contents = [_normalise(row) for row in rows]

    def read_rows() -> Iterator[SourceRow]:
        for index, content in enumerate(contents):
            raw = json.dumps(rows[index], default=_describe_array)
            yield SourceRow(name, first_line + index, raw, content)

    return Source(read_rows, lambda: len(contents))


def _describe_array(value: Any) -> str:
    return f"an array of shape {np.shape(value)}"


def _normalise(row: Row) -> Mapping[str, Any] | BadRow:
    try:
        return normalise_row(row)
    except BadRow as bad:
        return bad
