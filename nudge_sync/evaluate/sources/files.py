"""A task from files: two `.npy` arrays, their ids, and judgements; nothing is ever unpickled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.base.npy import memory_map_npy
from nudge_sync.errors import InputError
from nudge_sync.evaluate.task import (
    EvaluationTask,
    check_rows,
    drop_unanswered_queries,
    scale_to_unit,
)
from nudge_sync.feedback.ingest.formats import open_labels
from nudge_sync.feedback.log.columns import LABEL_ACTIONS
from nudge_sync.feedback.schema.moments import parse_timestamp
from nudge_sync.feedback.schema.rows import get_query_id
from nudge_sync.feedback.schema.values import BadRow, parse_grade, parse_point_id
from nudge_sync.solve.problem import Similarity


@dataclass(frozen=True, slots=True)
class TaskFiles:
    """The paths of a task's files."""

    documents: Path
    queries: Path
    qrels: Path
    document_ids: Path | None = None
    """None: row numbers are the ids."""
    query_ids: Path | None = None
    """None: row numbers are the ids."""
    query_times: Path | None = None
    """When each query was asked, one time a line; None: nobody knows."""

    @classmethod
    def from_folder(cls, path: Path) -> TaskFiles:
        """Return the usual names in a folder.

        documents.npy/.txt, queries.npy/.txt, qrels.tsv, and times.txt.
        """
        documents, queries = path / "documents.npy", path / "queries.npy"
        return cls(
            documents=documents,
            queries=queries,
            qrels=path / "qrels.tsv",
            document_ids=_path_if_present(documents.with_suffix(".txt")),
            query_ids=_path_if_present(queries.with_suffix(".txt")),
            query_times=_path_if_present(path / "times.txt"),
        )


def read_task(files: TaskFiles, name: str, similarity: Similarity = "dot") -> EvaluationTask:
    """Read a task from `files`; the documents stay memory-mapped where nothing changes them.

    similarity: "cosine" scales documents and queries to length one.
    Raises InputError that names the file, the line or row, and what was expected.
    """
    documents = _load_vectors(files.documents, similarity)
    queries = _load_vectors(files.queries, similarity)
    if documents.shape[1] != queries.shape[1]:
        raise InputError(
            f"{files.queries}: {queries.shape[1]} dimensions, but the documents have "
            f"{documents.shape[1]}; embed both with one model"
        )
    document_ids = _read_ids(files.document_ids, files.documents, len(documents))
    query_ids = _read_ids(files.query_ids, files.queries, len(queries))
    judgements, notes = read_task_judgements(files.qrels, query_ids, document_ids)
    task = EvaluationTask(
        name,
        documents,
        queries,
        judgements,
        document_ids,
        query_ids,
        similarity,
        notes,
        query_times=_read_times(files.query_times, len(queries)),
    )
    return drop_unanswered_queries(task)


def read_task_judgements(
    path: Path, query_ids: Sequence[str], document_ids: Sequence[str]
) -> tuple[list[dict[int, float]], tuple[str, ...]]:
    """Read the judgements in `path`: one entry a query, and notes on what was odd.

    path: as for `read_qrels`. Of a pair judged twice the higher grade holds.
    Raises InputError for an id that is not among `query_ids` or `document_ids`.
    """
    query_rows, document_rows = _number_ids(query_ids), _number_ids(document_ids)
    judgements: list[dict[int, float]] = [{} for _ in query_ids]
    repeated_count = 0
    for number, query, document, grade in read_qrels(path):
        location = f"{path} line {number}"
        query_row = _find_row(query_rows, query, f"{location}: query", "queries")
        document_row = _find_row(document_rows, document, f"{location}: document", "documents")
        repeated_count += document_row in judgements[query_row]
        judgements[query_row][document_row] = max(
            grade, judgements[query_row].get(document_row, grade)
        )
    notes = (f"{repeated_count} repeated judgements counted once",) if repeated_count else ()
    return judgements, notes


def read_qrels(path: Path) -> Iterator[tuple[int, str, str, float]]:
    """Yield line number, query id, document id and grade of every judgement in `path`.

    The file is whatever `feedback import --qrels` reads: three or four columns with or without a
    header, TREC's, CSV, Parquet, RankLib and JSON. Raises InputError that names the line.
    """
    for row in open_labels(path).read_rows():
        yield row.line, *_parse_judgement(row.content, f"{path} line {row.line}")


def _parse_judgement(content: Mapping[str, Any] | BadRow, location: str) -> tuple[str, str, float]:
    try:
        if isinstance(content, BadRow):
            raise content
        query, document = get_query_id(content), parse_point_id(content.get("point"))
        grade = parse_grade(content.get("grade"))
    except BadRow as bad:
        raise InputError(f"{location}: expected query id, document id, grade ({bad})") from None
    if grade is None and "action" not in content:
        raise InputError(f"{location}: expected query id, document id, grade (no grade)")
    action = content.get("action", "relevant")
    if action not in LABEL_ACTIONS:
        raise InputError(f"{location}: {action!r} is no label; a task needs grades")
    if action == "not_relevant":
        return query, str(document), 0.0
    return query, str(document), 1.0 if grade is None else grade


def _load_vectors(path: Path, similarity: Similarity) -> Float32:
    vectors = memory_map_npy(path)
    if vectors.dtype.kind != "f":
        raise InputError(f"{path}: expected one array of float16, float32 or float64")
    if vectors.dtype != np.float32:
        with np.errstate(over="ignore"):
            vectors = vectors.astype(np.float32)
    check_rows(vectors, str(path))
    return scale_to_unit(vectors) if similarity == "cosine" else vectors


def _read_times(path: Path | None, count: int) -> Float64 | None:
    """Return the times in `path`, (count,), in seconds since 1970; an empty line is 0."""
    if path is None:
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) != count:
        raise InputError(f"{path}: {len(lines)} lines for {count} queries; one time a line")
    times = np.zeros(count)
    for number, line in enumerate(lines):
        try:
            times[number] = parse_timestamp(line) if line.strip() else 0.0
        except BadRow as bad:
            raise InputError(f"{path} line {number + 1}: {bad}") from None
    return times


def _read_ids(path: Path | None, vectors: Path, count: int) -> list[str]:
    if path is None:
        return [str(row) for row in range(count)]
    ids = _read_lines(path)
    if len(ids) != count:
        raise InputError(f"{path}: {len(ids)} ids, but {vectors} has {count} rows")
    if len(set(ids)) != count:
        duplicate = Counter(ids).most_common(1)[0][0]
        raise InputError(f"{path}: id {duplicate!r} stands there twice")
    return ids


def _read_lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as UTF-8 text ({error})") from None
    # Not splitlines(): an id may hold a form feed or a Unicode line separator.
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines and not lines[-1] else lines


def _number_ids(ids: Sequence[str]) -> dict[str, int]:
    return {name: row for row, name in enumerate(ids)}


def _find_row(rows: Mapping[str, int], name: str, location: str, kind: str) -> int:
    if name not in rows:
        raise InputError(f"{location} {name!r} is not among the {kind}")
    return rows[name]


def _path_if_present(path: Path) -> Path | None:
    return path if path.exists() else None
