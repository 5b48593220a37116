"""Files of OTLP traces as a source, such as an OpenTelemetry Collector's file exporter writes.

JSON has one message a line; protobuf has each message after its length, four bytes in network
order. A file that grows is read on from where it ended; one that shrank, from its beginning.
Opinions are not in traces, so that these files bring searches and what answers cite.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

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
_BEGINNING: Mapping[str, Any] = {"read": {}}


class OtlpFileSettings(TraceSettings):
    """The table of a source of OTLP files."""

    path: Path
    """A file, or a folder with files that end in .json, .jsonl, .pb or .binpb."""


def open_otlp_files(section: Mapping[str, Any]) -> OtlpFileSource:
    """Return the source that a `[[feedback.sources]]` table describes. Raises ConfigError."""
    return OtlpFileSource(validate_settings(OtlpFileSettings, section, "feedback.sources"))


class OtlpFileSource:
    """See `nudge_sync.source.FeedbackSource`. The cursor is how far each file was read."""

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
        read: dict[str, int] = dict(parse_cursor(cursor, _BEGINNING)["read"])
        reader = TraceReader(self._settings)
        for path in self._list_files():
            start = read.get(path.name, 0)
            for spans, end in _read_file(path, start):
                read[path.name] = end
                yield Page(_build_rows(reader, spans), format_cursor({"read": read}))

    def _list_files(self) -> list[Path]:
        path = self._settings.path
        if path.is_dir():
            endings = (".json", ".jsonl", ".pb", ".binpb")
            return sorted(each for each in path.iterdir() if each.suffix in endings)
        if not path.exists():
            raise SourceUnreachable(f"{path}: no such file or folder")
        return [path]


def _build_rows(reader: TraceReader, spans: list[Span]) -> list[Row]:
    reader.learn(spans)
    return list(reader.build_search_rows(spans))


def _read_file(path: Path, start: int) -> Iterator[tuple[list[Span], int]]:
    """Yield spans in batches that end where a message ends, and where that is in the file."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            file.seek(start if start <= size else 0)
            is_text = path.suffix in (".json", ".jsonl")
            messages = _read_lines(file) if is_text else _read_blocks(file)
            spans: list[Span] = []
            end = file.tell()
            for message in messages:
                spans += message
                end = file.tell()
                if len(spans) >= _PAGE_SPANS:
                    yield spans, end
                    spans = []
            if spans:
                yield spans, end
    except OSError as error:
        raise SourceUnreachable(f"{path}: {error.strerror or error}") from error
    except (ValueError, InputError) as error:
        raise SourceError(f"{path}: {error}") from error


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
