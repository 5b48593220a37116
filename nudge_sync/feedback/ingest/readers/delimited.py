"""CSV and its kin: a header, then one row a line, between commas, semicolons, tabs or bars."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader
from itertools import islice
from threading import Lock
from typing import Any

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.readers.raw_rows import RawRow
from nudge_sync.feedback.ingest.text_files import MAX_LINE_BYTES, read_lines
from nudge_sync.feedback.schema.fields import find_field, find_fields
from nudge_sync.feedback.schema.values import BadRow, parse_id_list, parse_list

DELIMITERS = ",;\t|"
_OPEN_QUOTE = "unexpected end of data"
"""What the csv module says where a quote is open at the end."""
_MAX_ROW_LINES = 100
"""Lines of a row at most: a text with more line breaks is no query."""
_FIELD_LIMIT_LOCK = Lock()
_WHOLE_FLOAT = re.compile(r"[0-9]+\.0")
_LIST_READERS = {
    **dict.fromkeys(("shown", "shown_objects", "shown_hits", "relevant", "clicked"), parse_id_list),
    **dict.fromkeys(("query_vector", "propensities", "teams", "moved"), parse_list),
}
_NAME_FIELDS = ("query_id", "session", "client")


def read_delimited(stream: BufferedReader) -> Iterator[RawRow]:
    """Yield the rows of a CSV file; the header names the fields as JSON lines do.

    A row is a line, or several where a quoted text has line breaks. The delimiter is the one that
    makes most fields of the header known. A field that begins with `[` is a list. Raises InputError
    if the header names no query.
    """
    numbered_lines = read_lines(stream)
    header, delimiter = _parse_header(next(numbered_lines, (1, ""))[1])
    known = [find_field(name) for name in header]
    list_readers = [_LIST_READERS.get(field or "") for field in known]
    name_columns = [column for column, field in enumerate(known) if field in _NAME_FIELDS]
    for line, text in _join_quoted_lines(numbered_lines, delimiter, len(header)):
        if isinstance(text, BadRow):
            yield RawRow(line, text.detail, text)
        elif text.strip():
            yield RawRow(
                line, text, _parse_line(text, header, delimiter, list_readers, name_columns)
            )


def _join_quoted_lines(
    lines: Iterator[tuple[int, str | BadRow]], delimiter: str, field_count: int
) -> Iterator[tuple[int, str | BadRow]]:
    """Yield lines, those of one row joined where a quoted text in it has line breaks.

    A quote that does not end within some lines, in a row of as many fields as the header has,
    spoils its own line and none that follows.
    """
    pending = deque(islice(lines, 1))
    while pending:
        number, text = pending.popleft()
        if isinstance(text, str) and _is_open(text, delimiter):
            pending.extend(islice(lines, _MAX_ROW_LINES - 1 - len(pending)))
            for _ in range(_close_quote(text, pending, delimiter, field_count)):
                text = f"{text}\n{pending.popleft()[1]}"
        yield number, text
        if not pending:
            pending.extend(islice(lines, 1))


def _close_quote(
    text: str, following: Iterable[tuple[int, str | BadRow]], delimiter: str, field_count: int
) -> int:
    """Return how many of the following lines belong to a row whose quote is open; 0: none."""
    for count, (_, line) in enumerate(following, 1):
        if isinstance(line, BadRow) or len(text) + len(line) > MAX_LINE_BYTES:
            return 0
        text = f"{text}\n{line}"
        # Quotes inside a quoted text are doubled: an odd number of them leaves it open.
        if text.count('"') % 2 == 0:
            return count if _count_fields(text, delimiter) == field_count else 0
    return 0


def _is_open(text: str, delimiter: str) -> bool:
    """Return whether a quote that begins a field has not ended by the end of the text."""
    if text.count('"') % 2 == 0:
        return False
    try:
        split_fields(text, delimiter)
    except BadRow as bad:
        return bad.detail == _OPEN_QUOTE
    return False


def _count_fields(text: str, delimiter: str) -> int:
    try:
        return len(split_fields(text, delimiter))
    except BadRow:
        return 0


def split_header(text: str) -> tuple[list[str], str]:
    """Return the names in the header of a table, and its delimiter. Raises BadRow."""
    candidates, refusals = [], []
    for delimiter in DELIMITERS:
        try:
            names = [name.strip() for name in split_fields(text, delimiter)]
        except BadRow as bad:
            # Quotes that end before another delimiter.
            refusals.append(bad)
            continue
        candidates.append((len(find_fields(names)), len(names), names, delimiter))
    if refusals and all(count <= 1 for _, count, _, _ in candidates):
        raise refusals[0]
    _, _, names, delimiter = max(candidates, key=lambda candidate: candidate[:2])
    return names, delimiter


def check_columns(names: Sequence[str]) -> None:
    """Raise InputError if no column of a table names a query, or two have the same name."""
    if find_fields(names).isdisjoint({"query_id", "text"}):
        columns = ", ".join(names)[:200] or "nothing"
        raise InputError(f"a column query_id is expected, the columns are {columns}")
    lower_names = [name.lower() for name in names if name]
    if len(set(lower_names)) != len(lower_names):
        raise InputError("two columns have the same name")


def split_fields(text: str, delimiter: str) -> list[str]:
    """Return the fields of one line, however long. Raises BadRow for open quotes and NUL bytes."""
    if "\0" in text:
        raise BadRow("not CSV", "a NUL byte")
    try:
        with _raise_field_limit(len(text)):
            # Row by row, so that an open quote spoils its own row and none that follows.
            return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise BadRow("not CSV", str(error)) from None


def _parse_header(text: str | BadRow) -> tuple[list[str], str]:
    if isinstance(text, BadRow):
        raise InputError(f"the header is {text.reason}")
    try:
        names, delimiter = split_header(text)
    except BadRow as bad:
        raise InputError(f"the header is {bad}") from None
    check_columns(names)
    return names, delimiter


@contextmanager
def _raise_field_limit(size: int) -> Iterator[None]:
    """Let the csv module read fields of `size` characters, as long as vectors can be.

    Its limit is one for the whole process, hence the lock.
    """
    with _FIELD_LIMIT_LOCK:
        previous_limit = csv.field_size_limit()
        csv.field_size_limit(max(previous_limit, size))
        try:
            yield
        finally:
            csv.field_size_limit(previous_limit)


def _parse_line(
    text: str,
    header: Sequence[str],
    delimiter: str,
    list_readers: Sequence[Callable[[str], list[Any]] | None],
    name_columns: Sequence[int],
) -> Mapping[str, Any] | BadRow:
    try:
        fields: list[Any] = split_fields(text, delimiter)
        if len(fields) != len(header):
            return BadRow("not CSV", f"{len(fields)} fields, the header has {len(header)}")
        for column, field in enumerate(fields) if "[" in text else ():
            read_list = list_readers[column] if field.startswith("[") else None
            if read_list is not None:
                fields[column] = read_list(field)
            elif field.startswith("[") and find_field(header[column]) not in (None, "text"):
                parse_list(field)
                return BadRow("wrong type", f"{header[column]} must not be a list")
    except BadRow as bad:
        return bad
    for column in name_columns:
        # As pandas writes integers in a column with holes.
        if _WHOLE_FLOAT.fullmatch(fields[column]):
            fields[column] = fields[column].partition(".")[0]
    return dict(zip(header, fields, strict=True))
