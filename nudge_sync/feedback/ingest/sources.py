"""Where rows come from: JSON lines, TREC qrels with query vectors, arrays in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.npy import mapped
from nudge_sync.connector import Float32, PointId
from nudge_sync.errors import InputError
from nudge_sync.feedback.schema.rows import BadRow, parsed

MAX_LINE_BYTES = 16 * 2**20
_QRELS_COLUMNS = (3, 4)
_MATRIX = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a source: what it says, or why it says nothing."""

    source: str
    line: int
    raw: str
    content: Mapping[str, Any] | BadRow
    bare: bool = False
    """A search that is known by its id and vector alone: it replaces none that was logged."""


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that can be read more than once."""

    rows: Callable[[], Iterator[Row]]
    """Starts anew each time it is called."""
    size: Callable[[], int]
    """About how many rows there are, for a progress bar; 0 where that is not known."""
    files: tuple[Path, ...] = ()
    """What is read; a pipe among them gives its rows once."""


def json_lines(path: Path) -> Source:
    """The rows of a file with one JSON object a line; empty lines are passed over.

    Raises InputError where the file cannot be read.
    """

    def rows() -> Iterator[Row]:
        for line, text in lines(path):
            if isinstance(text, BadRow):
                yield Row(str(path), line, text.detail, text)
            elif text.strip():
                yield Row(str(path), line, text, _content(text))

    return Source(rows, lambda: line_count(path), (path,))


def _content(text: str) -> Mapping[str, Any] | BadRow:
    try:
        row = parsed(text)
    except BadRow as bad:
        return bad
    document = row.get("_source")
    # OpenSearch's dumps wrap each document.
    return document if isinstance(document, dict) and "query_id" not in row else row


def qrels(judgements: Path, vectors: Path, ids: Path) -> Source:
    """The rows of TREC qrels (query id, [0,] document id, grade) and of the queries they judge.

    vectors: a `.npy` file (q, d); ids: the query ids, one a line, in row order. Labelled answers
    of queries that are not among them are bad rows. Raises InputError for files that do not fit
    together.
    """
    return _judged([judgements], vectors, ids)


def beir(folder: Path, vectors: Path, ids: Path) -> Source:
    """The rows of every `qrels/*.tsv` in a BEIR folder, and of the queries they judge, as `qrels`.

    Raises InputError where there are none.
    """
    return _judged(_splits(folder), vectors, ids)


def beir_texts(folder: Path) -> Source:
    """The rows of every `qrels/*.tsv` in a BEIR folder, and the judged queries' texts, which have
    no vectors yet, from its `queries.jsonl`.

    Raises InputError where there are none.
    """
    judgements, texts = _splits(folder), folder / "queries.jsonl"

    def rows() -> Iterator[Row]:
        asked = {query for path in judgements for query in _judged_queries(path)}
        known = set()
        for row in json_lines(texts).rows():
            query = None if isinstance(row.content, BadRow) else str(row.content.get("_id"))
            if query is None or isinstance(row.content, BadRow):
                yield row
            elif query in asked:
                known.add(query)
                search = {"type": "search", "query_id": query, "text": row.content.get("text")}
                yield replace(row, content=search, bare=True)
        for path in judgements:
            yield from _labels(path, known)

    return Source(rows, lambda: sum(map(line_count, (texts, *judgements))), (texts, *judgements))


def _splits(folder: Path) -> list[Path]:
    judgements = sorted((folder / "qrels").glob("*.tsv"))
    if not judgements:
        raise InputError(f"{folder}: no qrels/*.tsv in this folder")
    for path in judgements:
        check_lasting(path)
    return judgements


def _judged_queries(path: Path) -> Iterator[str]:
    for _, text in lines(path):
        if not isinstance(text, BadRow):
            yield text.partition("\t")[0].strip()


def queries(vectors: Path, ids: Path) -> Source:
    """One search a row of `vectors`, with nothing but its id in `ids` and its vector."""

    def rows() -> Iterator[Row]:
        names, matrix = query_matrix(vectors, ids)
        for at, name in enumerate(names):
            vector = np.asarray(matrix[at])
            search = {"query_id": name, "query_vector": vector}
            yield Row(str(ids), at + 1, name, search, bare=True)

    return Source(rows, lambda: line_count(ids), (vectors, ids))


def _judged(judgements: Sequence[Path], vectors: Path, ids: Path) -> Source:
    asked = queries(vectors, ids)

    def rows() -> Iterator[Row]:
        yield from asked.rows()
        known = set(query_matrix(vectors, ids)[0])
        for path in judgements:
            yield from _labels(path, known)

    def size() -> int:
        return asked.size() + sum(map(line_count, judgements))

    return Source(rows, size, (*asked.files, *judgements))


def _labels(path: Path, known: set[str]) -> Iterator[Row]:
    for line, text in lines(path):
        if isinstance(text, BadRow):
            yield Row(str(path), line, text.detail, text)
        elif text.strip() and not (line == 1 and text.startswith("query-id")):
            yield Row(str(path), line, text, _labelled(text, known))


def _labelled(text: str, known: set[str]) -> Mapping[str, Any] | BadRow:
    parts = text.split("\t") if "\t" in text else text.split()
    if len(parts) not in _QRELS_COLUMNS:
        return BadRow("missing field", "query id, [0,] document id and grade are expected")
    query, point, grade = parts[0].strip(), parts[-2].strip(), parts[-1]
    if query not in known:
        return BadRow("unknown query", "no vector with this query id")
    try:
        number = float(grade)
    except ValueError:
        return BadRow("wrong type", "grade must be a number")
    return {"query_id": query, "action": "relevant", "point": point, "grade": number}


def labelled(
    query_ids: Sequence[str],
    query_vectors: Float32,
    relevant: Mapping[str, Mapping[PointId, float]],
) -> Source:
    """The rows of labelled answers that are in memory: query id -> point id -> grade."""

    def rows() -> Iterator[Row]:
        for at, name in enumerate(query_ids):
            vector = np.asarray(query_vectors[at])
            search = {"query_id": name, "query_vector": vector}
            yield Row("queries", at + 1, name, search, bare=True)
        line = 0
        for query, grades in relevant.items():
            for point, grade in grades.items():
                line += 1
                content = {"query_id": query, "action": "relevant", "point": point, "grade": grade}
                yield Row("relevant", line, f"{query}\t{point}\t{grade}", content)

    return Source(rows, lambda: len(query_ids) + sum(len(grades) for grades in relevant.values()))


def query_matrix(vectors: Path, ids: Path) -> tuple[list[str], NDArray[Any]]:
    """The query ids, and their vectors (q, d) in the same order.

    Raises InputError where the two files do not fit together.
    """
    check_lasting(vectors)
    check_lasting(ids)
    try:
        matrix = mapped(vectors)
        names = ids.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"query vectors or ids cannot be read: {error}") from None
    if matrix.ndim != _MATRIX:
        raise InputError(f"{vectors}: a matrix of numbers is expected, one row a query")
    if len(names) != len(matrix):
        raise InputError(f"{ids} names {len(names)} queries, {vectors} holds {len(matrix)}")
    return names, matrix


def is_pipe(path: Path) -> bool:
    """Whether what is read from `path` is gone afterwards: a pipe, a terminal, another device."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (S_ISREG(mode) or S_ISDIR(mode))


def check_lasting(path: Path) -> None:
    """Raises InputError for a pipe, where something is to be read more than once."""
    if is_pipe(path):
        raise InputError(
            f"{path}: this is read more than once, which a pipe cannot be; save it to a file first"
        )


def line_count(path: Path) -> int:
    """How many lines a file has; 0 for a pipe. Raises InputError where it cannot be read."""
    if is_pipe(path):
        return 0
    try:
        with path.open("rb") as file:
            return sum(part.count(b"\n") for part in iter(lambda: file.read(2**20), b""))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def lines(path: Path) -> Iterator[tuple[int, str | BadRow]]:
    """Each line's number, from 1, and its text without the line's end, or why it is none.

    Raises InputError where the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            line = 0
            while raw := file.readline(MAX_LINE_BYTES + 1):
                line += 1
                yield line, _text(raw)
                while len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                    raw = file.readline(MAX_LINE_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _text(raw: bytes) -> str | BadRow:
    if len(raw) > MAX_LINE_BYTES:
        return BadRow("too large", f"a line of over {MAX_LINE_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        return BadRow("not UTF-8", raw.decode("utf-8", "backslashreplace").rstrip("\r\n"))
