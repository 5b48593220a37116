"""A task from files: two `.npy` arrays, their ids, and judgements. Nothing is ever unpickled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nudge_sync.base.npy import memory_map_npy
from nudge_sync.errors import InputError
from nudge_sync.evaluate.task import Float32, Similarity, Task, answered, checked, unit

_HEADERS = {"query-id", "query_id", "qid"}
_TREC_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Files:
    """Where the parts of a task are. Ids default to row numbers."""

    documents: Path
    queries: Path
    qrels: Path
    document_ids: Path | None = None
    query_ids: Path | None = None

    @classmethod
    def folder(cls, path: Path) -> Files:
        """The usual names in one folder: documents.npy/.txt, queries.npy/.txt, qrels.tsv."""
        documents, queries = path / "documents.npy", path / "queries.npy"
        return cls(
            documents=documents,
            queries=queries,
            qrels=path / "qrels.tsv",
            document_ids=_if_there(documents.with_suffix(".txt")),
            query_ids=_if_there(queries.with_suffix(".txt")),
        )


def load(files: Files, name: str, similarity: Similarity = "dot") -> Task:
    """The task in `files`, its documents memory-mapped where they can stay as they are.

    Under "cosine" documents and queries are brought to length one.
    Raises InputError that names the file, the line or row, and what was expected.
    """
    documents = _vectors(files.documents, similarity)
    queries = _vectors(files.queries, similarity)
    if documents.shape[1] != queries.shape[1]:
        raise InputError(
            f"{files.queries}: {queries.shape[1]} dimensions, but the documents have "
            f"{documents.shape[1]}; embed both with one model"
        )
    document_ids = _ids(files.document_ids, files.documents, len(documents))
    query_ids = _ids(files.query_ids, files.queries, len(queries))
    judgements, notes = judgements_from(files.qrels, query_ids, document_ids)
    task = Task(name, documents, queries, judgements, document_ids, query_ids, similarity, notes)
    return answered(task)


def judgements_from(
    path: Path, query_ids: Sequence[str], document_ids: Sequence[str]
) -> tuple[list[dict[int, float]], tuple[str, ...]]:
    """Per query its judged document rows with grades, and notes on what was odd.

    `path`: (query id, document id, grade) by tabs, with or without BEIR's header, or TREC's four
    columns. Of a pair judged twice the higher grade holds.
    """
    query_rows, document_rows = _rows(query_ids), _rows(document_ids)
    judgements: list[dict[int, float]] = [{} for _ in query_ids]
    twice = 0
    for number, query, document, grade in read_qrels(path):
        place = f"{path} line {number}"
        query_row = _row(query_rows, query, f"{place}: query", "queries")
        row = _row(document_rows, document, f"{place}: document", "documents")
        twice += row in judgements[query_row]
        judgements[query_row][row] = max(grade, judgements[query_row].get(row, grade))
    notes = (f"{twice} repeated judgements counted once",) if twice else ()
    return judgements, notes


def read_qrels(path: Path) -> Iterator[tuple[int, str, str, float]]:
    """Line number, query id, document id and grade of every judgement in `path`."""
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split("\t") if "\t" in line else line.split()
        if not fields or (number == 1 and fields[0].lower() in _HEADERS):
            continue
        if len(fields) == _TREC_COLUMNS:
            del fields[1]
        yield number, *_judgement(fields, f"{path} line {number}")


def _judgement(fields: Sequence[str], place: str) -> tuple[str, str, float]:
    try:
        query, document, text = fields
        grade = float(text)
    except ValueError:
        raise InputError(f"{place}: expected query id, document id, grade") from None
    if not np.isfinite(grade):
        raise InputError(f"{place}: the grade is not finite")
    return query, document, grade


def _vectors(path: Path, similarity: Similarity) -> Float32:
    vectors = memory_map_npy(path)
    if vectors.dtype.kind != "f":
        raise InputError(f"{path}: expected one array of float16, float32 or float64")
    if vectors.dtype != np.float32:
        with np.errstate(over="ignore"):
            vectors = vectors.astype(np.float32)
    checked(vectors, str(path))
    return unit(vectors) if similarity == "cosine" else vectors


def _ids(path: Path | None, vectors: Path, count: int) -> list[str]:
    if path is None:
        return [str(row) for row in range(count)]
    ids = _lines(path)
    if len(ids) != count:
        raise InputError(f"{path}: {len(ids)} ids, but {vectors} has {count} rows")
    if len(set(ids)) != count:
        double = Counter(ids).most_common(1)[0][0]
        raise InputError(f"{path}: id {double!r} stands there twice")
    return ids


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as UTF-8 text ({error})") from None
    # Not splitlines(): an id may hold a form feed or a Unicode line separator.
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines and not lines[-1] else lines


def _rows(ids: Sequence[str]) -> dict[str, int]:
    return {name: row for row, name in enumerate(ids)}


def _row(rows: Mapping[str, int], name: str, place: str, kind: str) -> int:
    if name not in rows:
        raise InputError(f"{place} {name!r} is not among the {kind}")
    return rows[name]


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None
