"""The texts and judgements of a BEIR set, by name through ir-datasets or from a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from nudge_sync.errors import ConfigError, InputError, NudgeSyncError
from nudge_sync.evaluate.sources.files import read_qrels

TextItem: TypeAlias = tuple[str, str]
"""The id of a document or query, and its text."""


@dataclass(frozen=True, slots=True)
class TextDataset:
    """A retrieval set whose documents and queries are texts."""

    name: str
    documents: Callable[[], Iterator[TextItem]]
    """Reads the documents again at each call."""
    queries: Sequence[TextItem]
    """Only those with a judgement."""
    qrels: Sequence[tuple[str, str, float]]
    """Query id, document id, grade."""


def load_named_dataset(name: str) -> TextDataset:
    """Load the set that ir-datasets calls `name`, such as "beir/scifact/test".

    A name without judgements of its own, such as "beir/nfcorpus", stands for all its parts
    together, since an evaluation splits the queries by itself.
    Raises ConfigError where ir-datasets is not installed, InputError for an unknown name,
    NudgeSyncError where the set cannot be downloaded.
    """
    try:
        import ir_datasets  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "evaluating on a set by name needs more packages; install them with: "
            "pip install 'nudge-sync[beir]'"
        ) from error
    parts = _find_parts(ir_datasets, name)
    try:
        qrels = [
            (qrel.query_id, qrel.doc_id, float(qrel.relevance))
            for part in parts
            for qrel in part.qrels_iter()
        ]
        queries = {
            query.query_id: query.default_text() for part in parts for query in part.queries_iter()
        }
        return TextDataset(
            name, _make_reader(parts[0]), _select_judged_queries(queries, qrels), qrels
        )
    except (OSError, RuntimeError) as error:
        raise NudgeSyncError(f"{name}: could not be loaded ({error})") from error


def _find_parts(library: Any, name: str) -> list[Any]:
    """Return the set itself if it has judgements, else every set below it that does."""
    names = [
        registered
        for registered in library.registry
        if registered == name or registered.startswith(f"{name}/")
    ]
    if not names:
        raise InputError(f"ir-datasets knows no set {name!r}; see https://ir-datasets.com/beir")
    parts = [library.load(registered) for registered in names]
    if name in names and library.load(name).has_qrels():
        return [library.load(name)]
    parts = [part for part in parts if part.has_qrels() and part.has_queries()]
    if not parts:
        raise InputError(f"{name}: has no judgements")
    return parts


def _make_reader(part: Any) -> Callable[[], Iterator[TextItem]]:
    def documents() -> Iterator[TextItem]:
        for document in part.docs_iter():
            yield document.doc_id, document.default_text()

    return documents


def load_dataset_folder(path: Path) -> TextDataset:
    """Load a set from a folder as BEIR ships it: corpus.jsonl, queries.jsonl, qrels/*.tsv.

    The judgements of all files in qrels/ are taken together. Raises InputError.
    """
    files = sorted((path / "qrels").glob("*.tsv"))
    if not files:
        raise InputError(f"{path / 'qrels'}: no .tsv file with judgements")
    qrels = [qrel[1:] for file in files for qrel in read_qrels(file)]
    queries = dict(_read_json_texts(path / "queries.jsonl"))
    corpus = path / "corpus.jsonl"
    return TextDataset(
        path.name, lambda: _read_json_texts(corpus), _select_judged_queries(queries, qrels), qrels
    )


def _select_judged_queries(
    queries: dict[str, str], qrels: Sequence[tuple[str, str, float]]
) -> list[tuple[str, str]]:
    judged_ids = dict.fromkeys(query for query, _, _ in qrels)
    missing = next((query for query in judged_ids if query not in queries), None)
    if missing is not None:
        raise InputError(f"query {missing!r} is judged but not among the queries")
    return [(query, queries[query]) for query in judged_ids]


def _read_json_texts(path: Path) -> Iterator[TextItem]:
    """Yield the id and the text of every line, with the title before the text."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                yield _parse_json_text(line, f"{path} line {number}")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as UTF-8 text ({error})") from None


def _parse_json_text(line: str, location: str) -> TextItem:
    try:
        entry = json.loads(line)
        id_, title, text = entry["_id"], entry.get("title") or "", entry["text"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(f'{location}: expected an object with "_id" and "text"') from None
    if not all(isinstance(value, str) for value in (id_, title, text)):
        raise InputError(f'{location}: "_id", "title" and "text" have to be strings')
    return id_, f"{title} {text}".strip()
