"""Text files read line by line, and the pipes that can be read only once."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from nudge_sync.errors import InputError
from nudge_sync.feedback.schema.values import BadRow

MAX_LINE_BYTES = 16 * 2**20
PEEK_BYTES = 2**16
_GZIP_MAGIC = b"\x1f\x8b"


def is_pipe(path: Path) -> bool:
    """Return whether `path` can be read only once: a pipe, a terminal or another device."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (S_ISREG(mode) or S_ISDIR(mode))


def refuse_pipe(path: Path) -> None:
    """Raise InputError if `path`, which is to be read more than once, is a pipe."""
    if is_pipe(path):
        raise InputError(
            f"{path}: this is read more than once, which a pipe cannot be; save it to a file first"
        )


def count_lines(path: Path) -> int:
    """Return the number of lines of a file, or 0 for a pipe and for a compressed file.

    Raises InputError if the file cannot be read.
    """
    if is_pipe(path):
        return 0
    try:
        with path.open("rb") as file:
            if file.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC):
                return 0
            return sum(part.count(b"\n") for part in iter(lambda: file.read(2**20), b""))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


@contextmanager
def open_stream(path: Path) -> Iterator[BufferedReader]:
    """Open a file or a pipe to read bytes, of which `peek` shows the first up to `PEEK_BYTES`.

    What is compressed with gzip is read as if it were not. Raises InputError if the file cannot be
    read, also from within the block.
    """
    try:
        raw_file: Any = FileIO(path)
        with BufferedReader(raw_file, PEEK_BYTES) as file:
            if not file.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC):
                yield file
                return
            with gzip.GzipFile(fileobj=file) as unzipped:
                raw: Any = unzipped
                with BufferedReader(raw, PEEK_BYTES) as stream:
                    yield stream
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def read_lines(stream: BufferedReader) -> Iterator[tuple[int, str | BadRow]]:
    """Yield each line's number, from 1, and its text without the line's end.

    In place of the text of a line that is not UTF-8 or longer than `MAX_LINE_BYTES` stands a
    BadRow.
    """
    line = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        line += 1
        yield line, _decode_line(raw)
        while len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
            raw = stream.readline(MAX_LINE_BYTES + 1)


def _decode_line(raw: bytes) -> str | BadRow:
    if len(raw) > MAX_LINE_BYTES:
        return BadRow("too large", f"a line of over {MAX_LINE_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        return BadRow("not UTF-8", raw.decode("utf-8", "backslashreplace").rstrip("\r\n"))
