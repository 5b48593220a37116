"""JSON that is no lines: arrays of rows, replies, evaluation sets, or objects over many lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BufferedReader, TextIOWrapper
from typing import Any

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.readers.json_lines import format_row, unwrap_document
from nudge_sync.feedback.ingest.readers.json_shapes import expand_document
from nudge_sync.feedback.ingest.readers.raw_rows import RawRow
from nudge_sync.feedback.schema.values import BadRow

_PART_SIZE = 2**18
_BLANKS = " \t\r\n"
_MAX_TOKEN_PART = 12
"""Most characters that a part of a number, a literal or an escaped character can have before it
is known to be one."""


def read_json_documents(stream: BufferedReader) -> Iterator[RawRow]:
    """Yield the rows in a file of JSON values; of an array one entry at a time is in memory.

    Rows are numbered from 1. Raises InputError for what is no JSON, and for a document whose shape
    is not known.
    """
    row_number = 0
    for value in _read_values(stream):
        for content in _list_rows(value):
            row_number += 1
            yield RawRow(row_number, format_row(content), content)


def _list_rows(value: Any) -> list[Any]:
    if not isinstance(value, dict):
        return [BadRow("not JSON", "an object is expected")]
    rows = expand_document(value)
    return list(unwrap_document(value)) if rows is None else rows


def _read_values(stream: BufferedReader) -> Iterator[Any]:
    """Yield the entries of an array, or JSON values that follow each other."""
    parts = _Text(TextIOWrapper(stream, encoding="utf-8-sig"))
    in_array = False
    try:
        while character := parts.skip_blanks():
            if character == ("]" if in_array else "["):
                in_array = not in_array
                parts.skip_character()
                continue
            yield parts.parse_value()
            if in_array and parts.skip_blanks() == ",":
                parts.skip_character()
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"a JSON document that cannot be read after row {parts.count} ({error})"
        ) from None
    finally:
        parts.detach()
    if in_array:
        raise InputError(f"a JSON array that does not end; it has {parts.count} rows")


class _Text:
    """Text that is read in parts, from which one JSON value after the other is taken."""

    def __init__(self, file: TextIOWrapper) -> None:
        self._file = file
        self._text, self._start, self._is_complete = "", 0, False
        self.count = 0

    def skip_blanks(self) -> str:
        """Return the next character that is not blank, which stays where it is; "" at the end."""
        while True:
            while self._start < len(self._text):
                if self._text[self._start] not in _BLANKS:
                    return self._text[self._start]
                self._start += 1
            if not self._read_more(_PART_SIZE):
                return ""

    def skip_character(self) -> None:
        """Skip the next character."""
        self._start += 1

    def parse_value(self) -> Any:
        """Return the next JSON value. Raises ValueError."""
        size = _PART_SIZE
        while True:
            try:
                value, end = json.JSONDecoder().raw_decode(self._text, self._start)
            except json.JSONDecodeError as error:
                if not self._may_be_cut_off(error) or not self._read_more(size):
                    raise
            else:
                # A number may go on in the next part.
                if end < len(self._text) or not self._read_more(size):
                    self._start = end
                    self.count += 1
                    return value
            size *= 2

    def _may_be_cut_off(self, error: json.JSONDecodeError) -> bool:
        """Return whether a value may be wrong only because the text read so far ends in it."""
        # A string holds no line break, so that one without an end is found within its line.
        is_open_string = error.msg.startswith("Unterminated string")
        return is_open_string or error.pos >= len(self._text) - _MAX_TOKEN_PART

    def detach(self) -> None:
        """Leave the stream below open."""
        self._file.detach()

    def _read_more(self, size: int) -> bool:
        part = self._file.read(size) if not self._is_complete else ""
        self._is_complete = not part
        self._text, self._start = self._text[self._start :] + part, 0
        return bool(part)
