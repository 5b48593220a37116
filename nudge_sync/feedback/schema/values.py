"""Single values of feedback rows: numbers, ids and lists of ids, however written."""

from __future__ import annotations

import json
import re
from ast import literal_eval
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32
from nudge_sync.connector import PointId
from nudge_sync.errors import InputError

MAX_GRADE = 1e6
"""Largest magnitude of a grade."""
MAX_POSITION = 1_000_000
_ID_LIMIT = 2**64
_DECIMAL = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")
OBJECT_ID_KEYS = ("id", "point", "point_id", "object_id", "doc_id", "docid", "document_id", "_id")
"""Where an entry of a list of ids is an object, the keys that may hold its id, likeliest first."""
_LIST_SEPARATORS = re.compile(r"\s*[|;,]\s*|\s+")
_WHOLE_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]{0,30}))(?:\.0*)?")
_TRUTHS = {"true": 1.0, "false": 0.0}


class BadRow(InputError):
    """A row of feedback that is refused.

    reason: one of a short list, by which refused rows are counted; detail: what is wrong with
    this row, or "".
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def parse_vector(value: Any, dimension: int) -> Float32:
    """Return a query vector as float32, (dimension,). Raises BadRow for what is none."""
    if value is None:
        raise BadRow("missing field", "query_vector, or a text to embed")
    vector = _to_number_array(value)
    if vector.shape != (dimension,):
        actual = f"{vector.size} components" if vector.ndim == 1 else f"shape {vector.shape}"
        raise BadRow("wrong dimension", f"{actual}, the collection has {dimension} components")
    with np.errstate(over="ignore"):
        narrow = vector.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise BadRow("not finite", "the query vector holds NaN or infinity")
    norm = float(np.linalg.norm(narrow.astype(np.float64)))
    if norm < float(np.finfo(np.float32).tiny):
        raise BadRow("zero vector")
    return narrow


def _to_number_array(value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, str) and value.startswith("["):
        value = parse_list(value)
    if not isinstance(value, list) or any(type(part) not in (int, float) for part in value):
        raise BadRow("wrong type", "query_vector must be a list of numbers")
    try:
        return np.array(value, dtype=np.float64)
    except OverflowError:
        raise BadRow("not finite", "the query vector holds a number too large") from None


def parse_number(value: Any, name: str) -> float:
    """Return a number, or a text that holds one with a decimal point or comma.

    Truth values are 1 and 0. name: that of the field, for the message. Raises BadRow.
    """
    if isinstance(value, str):
        text = value.strip()
        if not _DECIMAL.fullmatch(text):
            if text.casefold().lstrip("+-") in {"inf", "infinity"}:
                raise BadRow("out of range", f"{name} must be finite")
            raise BadRow("wrong type", f"{name} must be a number")
        value = float(text.replace(",", "."))
    if not isinstance(value, (int, float)):
        raise BadRow("wrong type", f"{name} must be a number")
    try:
        return float(value)
    except OverflowError:
        raise BadRow("out of range", f"{name} must be finite") from None


def parse_grade(value: Any) -> float | None:
    """Return a grade, or None for None. Raises BadRow beyond `MAX_GRADE`."""
    if value is None:
        return None
    if isinstance(value, str):
        value = _TRUTHS.get(value.strip().casefold(), value)
    grade = parse_number(value, "grade")
    if not -MAX_GRADE <= grade <= MAX_GRADE:
        raise BadRow("out of range", f"grade must be finite and at most {MAX_GRADE:.0f}")
    return grade


def parse_position(value: Any, first: int = 1) -> int | None:
    """Return a position, or None for None. Raises BadRow below `first` and for fractions."""
    if value is None:
        return None
    if type(value) is int and first <= value <= MAX_POSITION:
        return value
    if isinstance(value, bool):
        raise BadRow("wrong type", "position must be a whole number")
    position = parse_number(value, "position")
    if position != position or (abs(position) <= MAX_POSITION and not position.is_integer()):  # noqa: PLR0124
        raise BadRow("wrong type", "position must be a whole number")
    if not first <= position <= MAX_POSITION:
        raise BadRow("out of range", "position: 1 is the top")
    return int(position)


def parse_query_id(value: Any) -> str:
    """Return a query id as text; 7.0 is "7". Raises BadRow for what is no string or integer."""
    if value is None or value == "":
        raise BadRow("missing field", "query_id")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadRow("wrong type", "query_id must be a string")
    return check_encodable(str(value))


def parse_point_id(value: Any) -> PointId:
    """Return a point id as written, whole floats as integers. Raises BadRow for anything else."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise BadRow("wrong type", "a point id must be an integer or a string")
    if isinstance(value, int) and abs(value) >= _ID_LIMIT:
        raise BadRow("unknown point", "the id has more than 64 bits")
    return check_encodable(value) if isinstance(value, str) else value


def parse_point_ids(value: Any, name: str) -> tuple[PointId, ...]:
    """Return a list of point ids, or () for None.

    The list may be a text, such as "[1, 2]" or "1|2", and its entries objects with an id.
    name: that of the field, for the message. Raises BadRow for anything else.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        value = parse_id_list(value)
    if not isinstance(value, (list, tuple)):
        raise BadRow("wrong type", f"{name} must be a list of point ids")
    return tuple(
        parse_point_id(_get_object_id(entry) if isinstance(entry, Mapping) else entry)
        for entry in value
    )


def _get_object_id(entry: Mapping[str, Any]) -> Any:
    return next((entry[key] for key in OBJECT_ID_KEYS if entry.get(key) is not None), None)


def parse_list(text: str) -> list[Any]:
    """Return the list in a text: JSON, as Python or NumPy print it, or entries between separators.

    Raises BadRow for half a list.
    """
    return _read_list(text, (json.loads, literal_eval), _to_number)


def parse_id_list(text: str) -> list[Any]:
    """Return what `parse_list` does, where an entry without quotes is the id that it is written as.

    Only whole numbers become integers: 007, 12e4 and 1_000 are other ids than 7, 120000 and 1000.
    Raises BadRow for half a list.
    """
    is_python = any(mark in text for mark in ("'", '"', "None"))
    return _read_list(text, (_load_ids, literal_eval) if is_python else (_load_ids,), _to_id)


def _load_ids(text: str) -> Any:
    return json.loads(text, parse_float=_to_id)


def _read_list(
    text: str, parsers: Sequence[Callable[[str], Any]], convert: Callable[[str], Any]
) -> list[Any]:
    """Return the list in a text, by the first parser that can read it; convert: what becomes of an
    entry that stands between separators.
    """
    stripped = text.strip()
    if stripped[:1] not in ("[", "{", "("):
        return _LIST_SEPARATORS.split(stripped)
    if stripped[-1] not in "]})":
        raise BadRow("not JSON", "a list that does not end")
    # Braces are how PostgreSQL writes a list; for Python they would be a set, without an order.
    for parse in parsers if stripped[0] != "{" else parsers[:1]:
        try:
            value = parse(stripped)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        return list(value) if isinstance(value, (list, tuple)) else [value]
    if set(stripped[1:-1]) & set("[]{}()"):
        raise BadRow("not JSON", "a list that cannot be read")
    inner = stripped[1:-1].strip()
    return [convert(part.strip("'\"")) for part in _LIST_SEPARATORS.split(inner)] if inner else []


def _to_id(text: str) -> int | str:
    whole = _WHOLE_NUMBER.fullmatch(text)
    return int(whole[1]) if whole else text


def _to_number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def parse_propensities(value: Any, shown_count: int) -> tuple[float, ...]:
    """Return one probability in (0, 1] for each shown id, or () for None. Raises BadRow."""
    if value is None:
        return ()
    propensities = _to_number_array(value)
    if propensities.shape != (shown_count,) or not ((propensities > 0) & (propensities <= 1)).all():
        raise BadRow("out of range", "propensities: one in (0, 1] for each shown id")
    return tuple(propensities.tolist())


def parse_text(value: Any, name: str) -> str:
    """Return a string or a number as text, or "" for None. Raises BadRow for anything else."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadRow("wrong type", f"{name} must be a string")
    return check_encodable(str(value))


def check_encodable(text: str) -> str:
    """Return `text`. Raises BadRow if it holds half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRow("wrong type", "text with half a surrogate pair") from None
    return text
