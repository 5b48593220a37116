"""Where rows come from: JSON lines, TREC qrels with query vectors, arrays in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.npy import memory_map_npy
from nudge_sync.connector import Float32, PointId
from nudge_sync.errors import InputError
from nudge_sync.feedback.schema.rows import BadRow, parse_json_row

MAX_LINE_BYTES = 16 * 2**20
_QRELS_COLUMN_COUNTS = (3, 4)
_MATRIX_DIMENSIONS = 2


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of a source: what it says, or why it says nothing."""

    source: str
    line: int
    raw: str
    content: Mapping[str, Any] | BadRow
    is_vector_only: bool = False
    """A search that is known by its id and vector alone: it replaces none that was logged."""


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that can be read more than once."""

    read_rows: Callable[[], Iterator[SourceRow]]
    """Starts anew each time it is called."""
    estimate_rows: Callable[[], int]
    """About how many rows there are, for a progress bar; 0 where that is not known."""
    files: tuple[Path, ...] = ()
    """What is read; a pipe among them gives its rows once."""


def open_json_lines(path: Path) -> Source:
    """The rows of a file with one JSON object a line; empty lines are passed over.

    Raises InputError where the file cannot be read.
    """

    def rows() -> Iterator[SourceRow]:
        for line, text in read_lines(path):
            if isinstance(text, BadRow):
                yield SourceRow(str(path), line, text.detail, text)
            elif text.strip():
                yield SourceRow(str(path), line, text, _parse_content(text))

    return Source(rows, lambda: count_lines(path), (path,))


def _parse_content(text: str) -> Mapping[str, Any] | BadRow:
    try:
        row = parse_json_row(text)
    except BadRow as bad:
        return bad
    document = row.get("_source")
    # OpenSearch's dumps wrap each document.
    return document if isinstance(document, dict) and "query_id" not in row else row


def open_qrels(qrels_file: Path, vectors: Path, ids: Path) -> Source:
    """The rows of TREC qrels (query id, [0,] document id, grade) and of the queries they judge.

    vectors: a `.npy` file (q, d); ids: the query ids, one a line, in row order. Labelled answers
    of queries that are not among them are bad rows. Raises InputError for files that do not fit
    together.
    """
    return _open_judged_queries([qrels_file], vectors, ids)


def open_beir(folder: Path, vectors: Path, ids: Path) -> Source:
    """The rows of every `qrels/*.tsv` in a BEIR folder, and of the queries they judge, as `qrels`.

    Raises InputError where there are none.
    """
    return _open_judged_queries(_find_qrels_files(folder), vectors, ids)


def open_beir_texts(folder: Path) -> Source:
    """The rows of every `qrels/*.tsv` in a BEIR folder, and the judged queries' texts, which have
    no vectors yet, from its `queries.jsonl`.

    Raises InputError where there are none.
    """
    qrels_files, queries_file = _find_qrels_files(folder), folder / "queries.jsonl"

    def rows() -> Iterator[SourceRow]:
        judged_ids = {query_id for path in qrels_files for query_id in _read_judged_ids(path)}
        known_ids = set()
        for row in open_json_lines(queries_file).read_rows():
            query_id = None if isinstance(row.content, BadRow) else str(row.content.get("_id"))
            if query_id is None or isinstance(row.content, BadRow):
                yield row
            elif query_id in judged_ids:
                known_ids.add(query_id)
                search = {"type": "search", "query_id": query_id, "text": row.content.get("text")}
                yield replace(row, content=search, is_vector_only=True)
        for path in qrels_files:
            yield from _read_judgements(path, known_ids)

    return Source(
        rows,
        lambda: sum(map(count_lines, (queries_file, *qrels_files))),
        (queries_file, *qrels_files),
    )


def _find_qrels_files(folder: Path) -> list[Path]:
    qrels_files = sorted((folder / "qrels").glob("*.tsv"))
    if not qrels_files:
        raise InputError(f"{folder}: no qrels/*.tsv in this folder")
    for path in qrels_files:
        refuse_pipe(path)
    return qrels_files


def _read_judged_ids(path: Path) -> Iterator[str]:
    for _, text in read_lines(path):
        if not isinstance(text, BadRow):
            yield text.partition("\t")[0].strip()


def open_queries(vectors: Path, ids: Path) -> Source:
    """One search a row of `vectors`, with nothing but its id in `ids` and its vector."""

    def rows() -> Iterator[SourceRow]:
        query_ids, matrix = load_query_vectors(vectors, ids)
        for i, query_id in enumerate(query_ids):
            vector = np.asarray(matrix[i])
            search = {"query_id": query_id, "query_vector": vector}
            yield SourceRow(str(ids), i + 1, query_id, search, is_vector_only=True)

    return Source(rows, lambda: count_lines(ids), (vectors, ids))


def _open_judged_queries(qrels_files: Sequence[Path], vectors: Path, ids: Path) -> Source:
    query_source = open_queries(vectors, ids)

    def rows() -> Iterator[SourceRow]:
        yield from query_source.read_rows()
        known_ids = set(load_query_vectors(vectors, ids)[0])
        for path in qrels_files:
            yield from _read_judgements(path, known_ids)

    def estimate_rows() -> int:
        return query_source.estimate_rows() + sum(map(count_lines, qrels_files))

    return Source(rows, estimate_rows, (*query_source.files, *qrels_files))


def _read_judgements(path: Path, known_ids: set[str]) -> Iterator[SourceRow]:
    for line, text in read_lines(path):
        if isinstance(text, BadRow):
            yield SourceRow(str(path), line, text.detail, text)
        elif text.strip() and not (line == 1 and text.startswith("query-id")):
            yield SourceRow(str(path), line, text, _parse_judgement(text, known_ids))


def _parse_judgement(text: str, known_ids: set[str]) -> Mapping[str, Any] | BadRow:
    parts = text.split("\t") if "\t" in text else text.split()
    if len(parts) not in _QRELS_COLUMN_COUNTS:
        return BadRow("missing field", "query id, [0,] document id and grade are expected")
    query, point, grade = parts[0].strip(), parts[-2].strip(), parts[-1]
    if query not in known_ids:
        return BadRow("unknown query", "no vector with this query id")
    try:
        number = float(grade)
    except ValueError:
        return BadRow("wrong type", "grade must be a number")
    return {"query_id": query, "action": "relevant", "point": point, "grade": number}


def build_judgement_source(
    query_ids: Sequence[str],
    query_vectors: Float32,
    judgements: Mapping[str, Mapping[PointId, float]],
) -> Source:
    """The rows of labelled answers that are in memory: query id -> point id -> grade."""

    def rows() -> Iterator[SourceRow]:
        for i, query_id in enumerate(query_ids):
            vector = np.asarray(query_vectors[i])
            search = {"query_id": query_id, "query_vector": vector}
            yield SourceRow("queries", i + 1, query_id, search, is_vector_only=True)
        line = 0
        for query, grades in judgements.items():
            for point, grade in grades.items():
                line += 1
                content = {"query_id": query, "action": "relevant", "point": point, "grade": grade}
                yield SourceRow("relevant", line, f"{query}\t{point}\t{grade}", content)

    return Source(rows, lambda: len(query_ids) + sum(len(grades) for grades in judgements.values()))


def load_query_vectors(vectors: Path, ids: Path) -> tuple[list[str], NDArray[Any]]:
    """The query ids, and their vectors (q, d) in the same order.

    Raises InputError where the two files do not fit together.
    """
    refuse_pipe(vectors)
    refuse_pipe(ids)
    try:
        matrix = memory_map_npy(vectors)
        query_ids = ids.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"query vectors or ids cannot be read: {error}") from None
    if matrix.ndim != _MATRIX_DIMENSIONS:
        raise InputError(f"{vectors}: a matrix of numbers is expected, one row a query")
    if len(query_ids) != len(matrix):
        raise InputError(f"{ids} names {len(query_ids)} queries, {vectors} holds {len(matrix)}")
    return query_ids, matrix


def is_pipe(path: Path) -> bool:
    """Whether what is read from `path` is gone afterwards: a pipe, a terminal, another device."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (S_ISREG(mode) or S_ISDIR(mode))


def refuse_pipe(path: Path) -> None:
    """Raises InputError for a pipe, where something is to be read more than once."""
    if is_pipe(path):
        raise InputError(
            f"{path}: this is read more than once, which a pipe cannot be; save it to a file first"
        )


def count_lines(path: Path) -> int:
    """How many lines a file has; 0 for a pipe. Raises InputError where it cannot be read."""
    if is_pipe(path):
        return 0
    try:
        with path.open("rb") as file:
            return sum(part.count(b"\n") for part in iter(lambda: file.read(2**20), b""))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def read_lines(path: Path) -> Iterator[tuple[int, str | BadRow]]:
    """Each line's number, from 1, and its text without the line's end, or why it is none.

    Raises InputError where the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            line = 0
            while raw := file.readline(MAX_LINE_BYTES + 1):
                line += 1
                yield line, _decode_line(raw)
                while len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                    raw = file.readline(MAX_LINE_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _decode_line(raw: bytes) -> str | BadRow:
    if len(raw) > MAX_LINE_BYTES:
        return BadRow("too large", f"a line of over {MAX_LINE_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        return BadRow("not UTF-8", raw.decode("utf-8", "backslashreplace").rstrip("\r\n"))
