"""JSON documents that hold many rows of feedback: whose they are, and the rows in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from statistics import fmean
from typing import Any, TypeAlias

from nudge_sync.errors import InputError
from nudge_sync.feedback.schema.fields import find_fields

_Document: TypeAlias = Mapping[str, Any]
_Rows: TypeAlias = Iterator[Mapping[str, Any]]
_ROW_FIELDS = {"query_id", "text", "query_vector", "point", "action"}
_WRAPPERS = frozenset({"_source", "doc", "input", "index", "create", "update", "delete"})


def expand_document(document: _Document) -> list[Mapping[str, Any]] | None:
    """Return the rows in a document, or None for an object that is itself a row.

    Raises InputError for a document of a shape that is not known.
    """
    for _, is_shape, read in SHAPES:
        if is_shape(document):
            return list(read(document))
    if is_row(document):
        return None
    keys = ", ".join(map(str, document))[:200] or "none"
    raise InputError(
        f"a JSON document of an unknown shape, with the keys {keys}; known are an array of rows, "
        + ", ".join(name for name, _, _ in SHAPES)
    )


def name_shape(document: _Document) -> str | None:
    """Return what a document is, or None for an object that is itself a row."""
    return next((name for name, is_shape, _ in SHAPES if is_shape(document)), None)


def is_row(document: _Document) -> bool:
    """Return whether an object has a field of a row of feedback, or wraps one."""
    return bool(find_fields(document) & _ROW_FIELDS) or not _WRAPPERS.isdisjoint(document)


def _is_search_reply(document: _Document) -> bool:
    hits = document.get("hits")
    return isinstance(document.get("responses"), list) or (
        isinstance(hits, dict) and isinstance(hits.get("hits"), list)
    )


def _read_search_reply(document: _Document) -> _Rows:
    for reply in document.get("responses") or [document]:
        for hit in (reply.get("hits") or {}).get("hits") or ():
            yield hit.get("_source") or {
                name: values[0] if isinstance(values, list) and len(values) == 1 else values
                for name, values in (hit.get("fields") or {}).items()
            }


def _is_evaluation_set(document: _Document) -> bool:
    answers = _find_answers(document)
    return isinstance(document.get("queries"), (dict, list)) and isinstance(answers, dict)


def _find_answers(document: _Document) -> Any:
    names = ("relevant_docs", "qrels", "relevance_judgments", "relevant")
    return next((document[name] for name in names if name in document), None)


def _read_evaluation_set(document: _Document) -> _Rows:
    queries = document["queries"]
    if isinstance(queries, list):
        queries = {_get_id(query): query for query in queries if isinstance(query, dict)}
    for query_id, answers in _find_answers(document).items():
        query = queries.get(query_id)
        text = query.get("text") if isinstance(query, dict) else query
        is_graded = isinstance(answers, dict)
        grades = answers if is_graded else dict.fromkeys(map(_get_id, answers), 1)
        for point, grade in grades.items():
            yield _build_label(query_id, text, point, grade)


def _get_id(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    return next((entry[key] for key in ("_id", "id", "query_id", "doc_id") if key in entry), None)


def _build_label(query_id: Any, text: Any, point: Any, grade: Any) -> Mapping[str, Any]:
    return {"query_id": query_id, "text": text, "point": point, "grade": grade}


def _is_rank_eval(document: _Document) -> bool:
    requests = document.get("requests")
    return isinstance(requests, list) and any(
        isinstance(request, dict) and "ratings" in request for request in requests
    )


def _read_rank_eval(document: _Document) -> _Rows:
    for request in document["requests"]:
        text = _find_query_words(request.get("params") or request.get("request"))
        for rating in request.get("ratings") or ():
            yield _build_label(request.get("id"), text, rating.get("_id"), rating.get("rating"))


def _find_query_words(value: Any) -> str | None:
    """Return the words of an Elasticsearch query: the first text in a `match` or a parameter."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return next((words for part in value if (words := _find_query_words(part))), None)
    if not isinstance(value, dict):
        return None
    names = ("query_string", "query", "match", "multi_match", "match_phrase", "bool", "must")
    known = [value[name] for name in names if name in value] or list(value.values())
    return next((words for part in known if (words := _find_query_words(part))), None)


def _is_judgement_import(document: _Document) -> bool:
    return isinstance(document.get("judgmentRatings"), (dict, list))


def _read_judgement_import(document: _Document) -> _Rows:
    queries = document["judgmentRatings"]
    pairs = (
        queries.items()
        if isinstance(queries, dict)
        else ((query.get("query"), query.get("ratings") or ()) for query in queries)
    )
    for text, ratings in pairs:
        for rating in ratings:
            yield {"text": text, "point": rating.get("docId"), "grade": rating.get("rating")}


def _is_quepid_book(document: _Document) -> bool:
    return isinstance(document.get("query_doc_pairs"), list)


def _read_quepid_book(document: _Document) -> _Rows:
    for pair in document["query_doc_pairs"]:
        ratings = [
            judgement["rating"]
            for judgement in pair.get("judgements") or ()
            if isinstance(judgement.get("rating"), (int, float)) and not judgement.get("unrateable")
        ]
        yield {
            "text": pair.get("query_text"),
            "point": pair.get("doc_id"),
            "grade": fmean(ratings) if ratings else None,
        }


def _is_quepid_case(document: _Document) -> bool:
    queries = document.get("queries")
    return isinstance(queries, list) and any(
        isinstance(query, dict) and ("ratings" in query or "doc_ratings" in query)
        for query in queries
    )


def _read_quepid_case(document: _Document) -> _Rows:
    for query in document["queries"]:
        text = query.get("query_text") or query.get("query") or query.get("text")
        ratings = query.get("ratings") or query.get("doc_ratings") or {}
        pairs = (
            ratings.items()
            if isinstance(ratings, dict)
            else ((rating.get("doc_id"), rating.get("rating")) for rating in ratings)
        )
        for point, grade in pairs:
            yield {"text": text, "point": point, "grade": grade}


def _is_columns(document: _Document) -> bool:
    """Return whether a document is a table by columns, as `DataFrame.to_json` writes it."""
    columns = list(document.values())
    if not columns or {"query_id", "text"}.isdisjoint(find_fields(document)):
        return False
    if all(isinstance(column, list) for column in columns):
        return len({len(column) for column in columns}) == 1
    # Each column is an object from the number of the row to its value.
    return all(
        isinstance(column, dict)
        and column.keys() == columns[0].keys()
        and all(str(row).isdecimal() for row in column)
        for column in columns
    )


def _read_columns(document: _Document) -> _Rows:
    columns = [
        list(value.values()) if isinstance(value, dict) else value for value in document.values()
    ]
    for cells in zip(*columns, strict=True):
        yield dict(zip(document, cells, strict=True))


def _is_split_table(document: _Document) -> bool:
    return isinstance(document.get("columns"), list) and isinstance(document.get("data"), list)


def _read_split_table(document: _Document) -> _Rows:
    for cells in document["data"]:
        yield dict(zip(document["columns"], cells, strict=False))


def _is_grade_table(document: _Document) -> bool:
    """Return whether a document is query id -> document id -> grade, as ranx and pytrec_eval have.

    Scores with fractions are those of a run, which judges nothing.
    """
    grades = [value for answers in document.values() for value in _list_values(answers)]
    is_known = bool(grades) and all(isinstance(answers, dict) for answers in document.values())
    return is_known and all(
        type(grade) in (int, float) and float(grade).is_integer() for grade in grades
    )


def _list_values(answers: Any) -> list[Any]:
    return list(answers.values()) if isinstance(answers, dict) else []


def _read_grade_table(document: _Document) -> _Rows:
    for query_id, answers in document.items():
        for point, grade in answers.items():
            yield _build_label(query_id, None, point, grade)


def _is_wrapped_list(document: _Document) -> bool:
    """Return whether a document is no row and has lists of rows, such as `{"data": [...]}`."""
    return find_fields(document).isdisjoint(_ROW_FIELDS) and any(
        map(_is_row_list, document.values())
    )


def _is_row_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _read_wrapped_list(document: _Document) -> _Rows:
    for value in document.values():
        if _is_row_list(value):
            yield from value


SHAPES: tuple[tuple[str, Callable[[_Document], bool], Callable[[_Document], _Rows]], ...] = (
    ("OpenSearch _search reply", _is_search_reply, _read_search_reply),
    ("LlamaIndex EmbeddingQAFinetuneDataset", _is_evaluation_set, _read_evaluation_set),
    ("Elasticsearch rank-eval request", _is_rank_eval, _read_rank_eval),
    ("OpenSearch judgement import", _is_judgement_import, _read_judgement_import),
    ("Quepid book", _is_quepid_book, _read_quepid_book),
    ("Quepid case", _is_quepid_case, _read_quepid_case),
    ("JSON table by columns", _is_columns, _read_columns),
    ("JSON table of columns and data", _is_split_table, _read_split_table),
    ("JSON qrels", _is_grade_table, _read_grade_table),
    ("JSON document with lists of rows", _is_wrapped_list, _read_wrapped_list),
)
"""Name, how it is recognised, and how its rows are read; the first that fits counts."""
