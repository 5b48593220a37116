"""Texts and judgements of a BEIR set: by name through ir-datasets, or from a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from nudge_sync.errors import ConfigError, InputError, NudgeSyncError
from nudge_sync.evaluate.sources.files import read_qrels

Text: TypeAlias = tuple[str, str]
"""An id and what it stands for."""


@dataclass(frozen=True, slots=True)
class Texts:
    """A set in words. Documents are read as often as `documents` is called."""

    name: str
    documents: Callable[[], Iterator[Text]]
    queries: Sequence[Text]
    """Only those with a judgement."""
    qrels: Sequence[tuple[str, str, float]]
    """Query id, document id, grade."""


def named(name: str) -> Texts:
    """The set that ir-datasets calls `name`, such as "beir/scifact/test".

    A name without judgements of its own, such as "beir/nfcorpus", stands for all its parts
    together: the paper splits queries by itself.
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
    parts = _parts(ir_datasets, name)
    try:
        qrels = [
            (one.query_id, one.doc_id, float(one.relevance))
            for part in parts
            for one in part.qrels_iter()
        ]
        queries = {
            query.query_id: query.default_text() for part in parts for query in part.queries_iter()
        }
        return Texts(name, _reader(parts[0]), _judged(queries, qrels), qrels)
    except (OSError, RuntimeError) as error:
        raise NudgeSyncError(f"{name}: could not be loaded ({error})") from error


def _parts(library: Any, name: str) -> list[Any]:
    """The set itself if it has judgements, else every set below it that does."""
    names = [known for known in library.registry if known == name or known.startswith(f"{name}/")]
    if not names:
        raise InputError(f"ir-datasets knows no set {name!r}; see https://ir-datasets.com/beir")
    found = [library.load(known) for known in names]
    if name in names and library.load(name).has_qrels():
        return [library.load(name)]
    found = [part for part in found if part.has_qrels() and part.has_queries()]
    if not found:
        raise InputError(f"{name}: has no judgements")
    return found


def _reader(part: Any) -> Callable[[], Iterator[Text]]:
    def documents() -> Iterator[Text]:
        for document in part.docs_iter():
            yield document.doc_id, document.default_text()

    return documents


def folder(path: Path) -> Texts:
    """The set in a folder as BEIR ships it: corpus.jsonl, queries.jsonl, qrels/*.tsv.

    Judgements of all files in qrels/ are taken together. Raises InputError.
    """
    files = sorted((path / "qrels").glob("*.tsv"))
    if not files:
        raise InputError(f"{path / 'qrels'}: no .tsv file with judgements")
    qrels = [judged[1:] for file in files for judged in read_qrels(file)]
    queries = dict(_json_texts(path / "queries.jsonl"))
    corpus = path / "corpus.jsonl"
    return Texts(path.name, lambda: _json_texts(corpus), _judged(queries, qrels), qrels)


def _judged(
    queries: dict[str, str], qrels: Sequence[tuple[str, str, float]]
) -> list[tuple[str, str]]:
    wanted = dict.fromkeys(query for query, _, _ in qrels)
    missing = next((query for query in wanted if query not in queries), None)
    if missing is not None:
        raise InputError(f"query {missing!r} is judged but not among the queries")
    return [(query, queries[query]) for query in wanted]


def _json_texts(path: Path) -> Iterator[Text]:
    """Id and text of every line, a title before its text."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                yield _json_text(line, f"{path} line {number}")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as UTF-8 text ({error})") from None


def _json_text(line: str, place: str) -> Text:
    try:
        entry = json.loads(line)
        id_, title, text = entry["_id"], entry.get("title") or "", entry["text"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(f'{place}: expected an object with "_id" and "text"') from None
    if not all(isinstance(value, str) for value in (id_, title, text)):
        raise InputError(f'{place}: "_id", "title" and "text" have to be strings')
    return id_, f"{title} {text}".strip()
