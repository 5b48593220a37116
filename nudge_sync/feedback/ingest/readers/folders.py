"""Folders in the layout of BEIR and MTEB: `qrels`, and `queries` beside them.

The files are TSV, JSON lines or Parquet: `qrels/test.tsv` and `queries.jsonl` as BEIR has them,
`qrels/test-00000-of-00001.parquet` and `queries/…` as Hugging Face does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.report import REJECTS_SUFFIX

_SUFFIXES = (".tsv", ".csv", ".jsonl", ".json", ".parquet", ".txt", ".gz")
_LABEL_PATTERNS = (
    "qrels/*",
    "*-qrels/*",
    "qrels/*/*",
    "*-qrels/*/*",
    "qrels*",
)
_UNNAMED_LABEL_PATTERNS = ("default/*", "data/*")
"""Where labels are only if the queries are beside them."""
_QUERY_PATTERNS = ("queries/*", "*-queries/*", "queries*", "queries/*/*", "*-queries/*/*")


def find_qrels_files(folder: Path) -> list[Path]:
    """Return the files of labels in a folder. Raises InputError if there are none."""
    unnamed = _UNNAMED_LABEL_PATTERNS if _find_files(folder, _QUERY_PATTERNS) else ()
    files = _find_files(folder, (*_LABEL_PATTERNS, *unnamed))
    if not files:
        raise InputError(
            f"{folder}: Is a directory, and no data set: no qrels/*.tsv, .jsonl or .parquet in it"
        )
    return files


def find_query_files(folder: Path) -> list[Path]:
    """Return the files of the queries' texts in a folder. Raises InputError if there are none."""
    files = _find_files(folder, _QUERY_PATTERNS)
    if not files:
        raise InputError(f"{folder}: no queries.jsonl and no queries/*.parquet in this folder")
    return files


def _find_files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the files that the first pattern with any finds."""
    return next(filter(None, (_list_files(folder.glob(pattern)) for pattern in patterns)), [])


def _list_files(paths: Iterable[Path]) -> list[Path]:
    return sorted(
        path
        for path in paths
        if path.is_file()
        and path.suffix.lower() in _SUFFIXES
        and not path.name.endswith(REJECTS_SUFFIX)
    )
