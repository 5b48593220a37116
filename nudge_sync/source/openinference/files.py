"""Files of OTLP traces as a source, such as an OpenTelemetry Collector's file exporter writes.

JSON has one message a line; protobuf has each message after its length, four bytes in network
order. A file is known by the bytes that it begins with, whatever its name: it is renamed as it is
rotated, and another one begins under its name. One that grows is read on from where it ended.
Opinions are not in traces, so that these files bring searches and what answers cite.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from nudge_sync.errors import InputError
from nudge_sync.source import (
    Page,
    Row,
    SourceError,
    SourceFacts,
    SourceUnreachable,
    format_cursor,
    parse_cursor,
    validate_settings,
)
from nudge_sync.source.openinference.otlp import read_json_message, read_protobuf_message
from nudge_sync.source.openinference.rows import TraceReader
from nudge_sync.source.openinference.settings import TraceSettings
from nudge_sync.source.openinference.spans import Span

_PAGE_SPANS = 2000
_LENGTH_BYTES = 4
_MAX_MESSAGE_BYTES = 256 * 2**20
_HEAD_BYTES = 16 * 1024
"""A file is known by so many of its first bytes: enough to hold the id of a trace."""
_MAX_FILES = 300
"""A cursor has no room for more."""
_BEGINNING: Mapping[str, Any] = {"read": {}}
_Mark: TypeAlias = tuple[str, int]
"""A digest of what a file begins with, of the part that was read; and how many bytes that part
has."""


class OtlpFileSettings(TraceSettings):
    """The table of a source of OTLP files."""

    path: Path
    """A file, or a folder with files that end in .json, .jsonl, .pb or .binpb."""


def open_otlp_files(section: Mapping[str, Any]) -> OtlpFileSource:
    """Return the source that a `[[feedback.sources]]` table describes. Raises ConfigError."""
    return OtlpFileSource(validate_settings(OtlpFileSettings, section, "feedback.sources"))


class OtlpFileSource:
    """See `nudge_sync.source.FeedbackSource`. The cursor is the marks of the files."""

    def __init__(self, settings: OtlpFileSettings) -> None:
        self._settings = settings

    def describe(self) -> SourceFacts:
        """See `FeedbackSource.describe`."""
        self._list_files()
        return SourceFacts("OpenTelemetry files", "", frozenset())

    def close(self) -> None:
        """See `FeedbackSource.close`."""

    def read_pages(self, cursor: str = "") -> Iterator[Page]:
        """See `FeedbackSource.read_pages`."""
        known: dict[str, int] = parse_cursor(cursor, _BEGINNING)["read"]
        # Of the files that are there now, so that a cursor does not grow with those that were.
        marks = {path: _find_mark(path, known) for path in self._list_files()}
        reader = TraceReader(self._settings)
        for path in marks:
            for spans, mark in _read_file(path, known):
                marks[path] = mark
                rows = _build_rows(reader, spans)
                yield Page(rows, format_cursor({"read": dict(marks.values())}))

    def _list_files(self) -> list[Path]:
        path = self._settings.path
        if path.is_dir():
            endings = (".json", ".jsonl", ".pb", ".binpb")
            files = sorted(each for each in path.iterdir() if each.suffix in endings)
            if len(files) > _MAX_FILES:
                raise SourceError(
                    f"{path} has {len(files)} files of traces, and {_MAX_FILES} can be followed; "
                    "move old ones away, or make several folders, each a source"
                )
            return files
        if not path.exists():
            raise SourceUnreachable(f"{path}: no such file or folder")
        return [path]


def _build_rows(reader: TraceReader, spans: list[Span]) -> list[Row]:
    reader.learn(spans)
    return list(reader.build_search_rows(spans))


@contextmanager
def _open_file(path: Path) -> Iterator[tuple[BinaryIO, int, bytes]]:
    """Yield an open file, how many bytes it has by now, and its first ones.

    What goes wrong in it is raised as an error of the source.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            yield file, size, file.read(_HEAD_BYTES)
    except OSError as error:
        raise SourceUnreachable(f"{path}: {error.strerror or error}") from error
    except (ValueError, InputError) as error:
        raise SourceError(f"{path}: {error}") from error


def _find_mark(path: Path, known: Mapping[str, int]) -> _Mark:
    """Return the mark that a file has among those that are known, or one of nothing read."""
    with _open_file(path) as (_, size, head):
        return _make_mark(head, _find_end(head, size, known))


def _find_end(head: bytes, size: int, known: Mapping[str, int]) -> int:
    """Return up to where a file that begins so was read, in bytes."""
    lengths = {min(end, _HEAD_BYTES) for end in known.values()}
    digests = {_compute_digest(head[:length]) for length in lengths}
    ends = [end for digest, end in known.items() if digest in digests and end <= size]
    return max(ends, default=0)


def _make_mark(head: bytes, end: int) -> _Mark:
    return _compute_digest(head[:end]), end


def _compute_digest(part: bytes) -> str:
    return hashlib.blake2b(part, digest_size=8).hexdigest()


def _read_file(path: Path, known: Mapping[str, int]) -> Iterator[tuple[list[Span], _Mark]]:
    """Yield spans in batches that end where a message ends, and the mark of the file by then."""
    with _open_file(path) as (file, size, head):
        file.seek(_find_end(head, size, known))
        is_text = path.suffix in (".json", ".jsonl")
        messages = _read_lines(file) if is_text else _read_blocks(file)
        spans: list[Span] = []
        end = file.tell()
        for message in messages:
            if file.tell() > size:
                # Written after the head was read, which may lack these bytes.
                break
            spans += message
            end = file.tell()
            if len(spans) >= _PAGE_SPANS:
                yield spans, _make_mark(head, end)
                spans = []
        if spans:
            yield spans, _make_mark(head, end)


def _read_lines(file: BinaryIO) -> Iterator[list[Span]]:
    while line := file.readline(_MAX_MESSAGE_BYTES):
        if not line.endswith(b"\n"):
            # Half a line, which somebody is writing: it is read when it is whole.
            file.seek(-len(line), 1)
            return
        if line.strip():
            yield list(read_json_message(json.loads(line)))


def _read_blocks(file: BinaryIO) -> Iterator[list[Span]]:
    while len(header := file.read(_LENGTH_BYTES)) == _LENGTH_BYTES:
        length = int.from_bytes(header, "big")
        message = file.read(length) if length <= _MAX_MESSAGE_BYTES else b""
        if len(message) < length:
            file.seek(-len(header) - len(message), 1)
            return
        yield list(read_protobuf_message(message))
