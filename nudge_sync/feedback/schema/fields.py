"""Names of the fields of feedback in all their spellings, and rows brought under one name each.

Every format hands its rows over as it reads them; here alone is known that `Query-ID`, `query_id`
and `{"query": {"id": …}}` are one field, and which values stand for none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from nudge_sync.feedback.schema.values import BadRow

_ANSWERS = ("relevant", "expected", "gold", "golden", "positive", "groundtruth")
_ANSWER_KINDS = ("doc", "document", "chunk", "passage", "context", "node", "")

SPELLINGS: dict[str, tuple[str, ...]] = {
    "type": ("type",),
    "query_id": ("queryid", "qid", "searchid", "topicid", "topic"),
    "query_vector": ("queryvector", "vector", "embedding", "queryembedding"),
    "text": (
        "text", "userquery", "query", "querytext", "querystring", "question", "userinput",
        "searchquery", "searchterm", "keywords",
    ),
    "time": ("time", "timestamp", "ts", "datetime"),
    "shown": ("shown", "shownids"),
    "shown_objects": ("queryresponseobjectids",),
    "shown_hits": ("queryresponsehitids",),
    "propensities": ("propensities",),
    "experiment": ("experiment",),
    "arm": ("arm",),
    "teams": ("teams",),
    "moved": ("moved",),
    "fallback": ("fallback",),
    "session": ("session", "sessionid", "eventattributessessionid"),
    "client": ("client", "clientid", "userid"),
    "action": ("action", "actionname", "event", "eventname", "eventtype"),
    "point": (
        "point", "pointid", "objectid", "eventattributesobjectobjectid", "chunkid", "nodeid",
        "documentid", "docid", "corpusid", "docno", "passageid", "pid", "doc", "productid",
        "itemid",
    ),
    "position": (
        "position", "eventattributespositionordinal", "positionordinal", "ordinal", "docposition",
        "documentposition", "rank",
    ),
    "grade": ("grade", "rating"),
    "label": ("label", "relevance", "rel", "judgment", "judgement", "gain", "isrelevant"),
    "score": ("score",),
    "relevant": (
        "relevant", "relevantdocs", "referencecontextids",
        *(f"{answer}{kind}ids" for kind in _ANSWER_KINDS for answer in _ANSWERS),
    ),
    "clicked": ("clicked", "clickedids", "clickeddocids", "clickedpoints", "clicks", "isclicked"),
}  # fmt: skip
"""Field -> how its name is spelled, less case and separators, likeliest first.

A label or a score is a grade only where no action says otherwise. Of UBI's two lists of results the
ids of the application are `shown`, or else those of the engine."""

_FIELD_BY_SPELLING = {
    spelling: (field, rank)
    for field, spellings in SPELLINGS.items()
    for rank, spelling in enumerate(spellings)
}
_SEPARATORS = re.compile(r"[\s_.\-@\ufeff]+")
HOLES = frozenset(
    {"", "nan", "NaN", "NAN", "<NA>", "NaT", "null", "NULL", "None", "\\N", "undefined"}
)
"""What exports write where there is no value."""
_FIELDS_WITHOUT_HOLES = frozenset({"text", "query_vector"})
_EXTENDED_JSON = ("$oid", "$date", "$numberLong", "$numberInt", "$numberDouble")
_ANSWER_FIELDS = frozenset({"label", "score", "relevant", "clicked"})
_TRUTHS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
_LABEL_ACTIONS = ("relevant", "not_relevant")
_MAX_DEPTH = 4


def find_field(name: str) -> str | None:
    """Return the field that a column or key names, or None for one that is not known."""
    spelling = _find_spelling(name)
    return spelling[0] if spelling else None


def find_fields(names: Iterable[str]) -> set[str]:
    """Return the known fields among the names of columns or keys."""
    return {field for name in names if (field := find_field(name))}


def normalise_row(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known fields of `raw` under the names of `SPELLINGS`, and no others.

    Nested objects are looked into. A field that is there and empty, such as NaN, is None. Where a
    field comes under several names, the first of its spellings that has a value counts. Raises
    BadRow for a row that is no feedback, such as a line of a ranked list with its scores.
    """
    row: dict[str, Any] = {}
    _collect_fields(raw, "", row, {}, _MAX_DEPTH)
    if "shown_objects" in row or "shown_hits" in row:
        _settle_shown(row)
    if not row.keys().isdisjoint(_ANSWER_FIELDS):
        _settle_answers(row)
    return row


@lru_cache(maxsize=10_000)
def _find_spelling(name: str) -> tuple[str, int] | None:
    if name.startswith("_"):
        return None
    return _FIELD_BY_SPELLING.get(_SEPARATORS.sub("", name).casefold())


def _collect_fields(
    raw: Mapping[str, Any], prefix: str, row: dict[str, Any], ranks: dict[str, int], depth: int
) -> bool:
    """Add the known fields of `raw` to `row`; return whether there are any."""
    is_any_known = False
    for name, value in raw.items():
        spelling = _find_spelling(f"{prefix}{name}") if prefix else _find_spelling(name)
        if type(value) is dict:
            value = _unwrap(value)  # noqa: PLW2901
            if (
                type(value) is dict
                and depth
                and _collect_fields(value, f"{prefix}{name}.", row, ranks, depth - 1)
            ):
                is_any_known = True
                continue
        if spelling is None:
            continue
        is_any_known = True
        field, rank = spelling
        value = drop_hole(field, value)  # noqa: PLW2901
        if field not in row or (value is not None and (row[field] is None or rank < ranks[field])):
            row[field], ranks[field] = value, rank
    return is_any_known


def drop_hole(field: str, value: Any) -> Any:
    """Return None for NaN and for what exports write where there is no value, else the value.

    field: one of `SPELLINGS`. A query's text may read "null"; only an empty one is none.
    """
    if type(value) is str:
        if field in _FIELDS_WITHOUT_HOLES:
            return value if value.strip() else None
        return None if value in HOLES or value.strip() in HOLES else value
    return None if type(value) is float and value != value else value  # noqa: PLR0124


def _unwrap(value: Any) -> Any:
    """Return the value in MongoDB's extended JSON, however often it is wrapped, and anything else
    as it is.
    """
    while type(value) is dict and len(value) == 1:
        [(key, content)] = value.items()
        if key not in _EXTENDED_JSON:
            break
        value = content
    return value


def _settle_shown(row: dict[str, Any]) -> None:
    lists = [row.pop(name, None) for name in ("shown_objects", "shown_hits")]
    candidates = [row.get("shown"), *lists]
    filled = [ids for ids in candidates if ids] or [ids for ids in candidates if ids is not None]
    row["shown"] = filled[0] if filled else None
    if len(filled) > 1 and filled[1]:
        row["other_shown"] = filled[1]


def _settle_answers(row: dict[str, Any]) -> None:
    """Turn what stands for a grade or a click into one, where the row has none of its own."""
    for name in ("relevant", "clicked"):
        if name in row and row[name] is not None and not isinstance(row[name], (list, tuple)):
            _settle_scalar(row, name)
    if "label" not in row and "score" not in row:
        return
    label, score = row.pop("label", None), row.pop("score", None)
    is_label = row.get("action") is None or row["action"] in _LABEL_ACTIONS
    if row.get("point") is None or row.get("grade") is not None or not is_label:
        return
    if label is None and score is not None and row.get("position") is not None:
        if row.get("action") is None:
            raise BadRow("missing field", "action or grade: a score beside a rank is no judgement")
        return
    row["grade"] = label if label is not None else score


def _settle_scalar(row: dict[str, Any], name: str) -> None:
    value = row[name]
    if isinstance(value, str) and value[:1] in ("[", "{"):
        return
    if row.get("point") is None:
        row[name] = [value]
        return
    del row[name]
    if not isinstance(value, (str, int, float)):
        raise BadRow("wrong type", f"{name} must be a list of points, or true or false")
    flag = value.strip().casefold() if isinstance(value, str) else value
    if row.get("action") is not None or row.get("grade") is not None:
        return
    if name == "relevant":
        row["grade"] = _TRUTHS.get(str(flag), value)
    elif flag in (1, "1", "1.0", "true", "yes"):
        row["action"] = "click"
    elif flag in (0, "0", "0.0", "false", "no"):
        row["not_clicked"] = True
