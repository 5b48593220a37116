"""Conditions in Milvus's filter language, whatever the keys and values hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nudge_sync.connector import PointId

MAX_DOUBLE = 1.7976931348623157e308
"""The largest number that a filter can name: there is no literal for infinity."""
_INT64_MIN = -(2**63)
"""The lowest key; Milvus cannot read it as a literal, so filters for it say < what follows."""
_INT64_MAX = 2**63 - 1
"""The highest key."""
_MAX_FILTER_BYTES = 8 * 1024 * 1024
"""Of the keys in one filter; the whole request must fit Milvus's 64 MiB."""
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
"""The escapes that Milvus 2.3, its successors and Milvus Lite all read alike.

Everything else stands for itself between double quotes.
"""


def format_literal(value: str | float) -> str:
    """Return `value` as a literal of Milvus's filter language, whatever is in it."""
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, float):
        return _format_float(value)
    return str(value)


def _format_float(value: float) -> str:
    text = format(value, ".17g")
    return text if any(mark in text for mark in ".en") else f"{text}.0"


def is_possible_key(key: object, *, integers: bool, max_bytes: int) -> bool:
    """Return whether a primary key field of this type can hold `key`."""
    if integers:
        return type(key) is int and _INT64_MIN <= key <= _INT64_MAX
    if not isinstance(key, str):
        return False
    try:
        return len(key.encode()) <= max_bytes
    except UnicodeEncodeError:
        return False


def build_keys_filter(field: str, keys: Sequence[PointId]) -> str:
    """Return a filter for the rows whose primary key is one of `keys`."""
    literals = [format_literal(key) for key in keys if key != _INT64_MIN]
    filter_ = f"{field} in [{','.join(literals)}]"
    return f"{filter_} or {_build_lowest_key_filter(field)}" if _INT64_MIN in keys else filter_


def build_after_filter(field: str, key: PointId | None, *, integers: bool) -> str:
    """Return a filter for the rows whose primary key comes after `key`; all of them if None."""
    if key == _INT64_MIN:
        return f"{field} >= {_INT64_MIN + 1}"
    if key is not None:
        return f"{field} > {format_literal(key)}"
    return f"({field} >= 0 or {field} < 0)" if integers else f'{field} >= ""'


def build_up_to_filter(field: str, key: PointId | None) -> str:
    """Return a filter for the rows whose primary key is at most `key`; all of them if None."""
    if key == _INT64_MIN:
        return _build_lowest_key_filter(field)
    return "" if key is None else f"{field} <= {format_literal(key)}"


def _build_lowest_key_filter(field: str) -> str:
    # Milvus reads the minus apart from the number, and 2**63 alone is too large for it.
    return f"{field} < {_INT64_MIN + 1}"


def join_filters(left: str, right: str) -> str:
    """Return a filter for the rows that both select; an empty one selects every row."""
    return f"({left}) and ({right})" if left and right else left or right


def build_range_filter(field: str, low: float, high: float, *, inclusive: bool) -> str:
    """Return a filter for low <= field < high, or <= high where `inclusive`."""
    low, high = (float(min(max(bound, -MAX_DOUBLE), MAX_DOUBLE)) for bound in (low, high))
    upper = "<=" if inclusive else "<"
    return f"{field} >= {format_literal(low)} and {field} {upper} {format_literal(high)}"


def split_keys(keys: Sequence[PointId], row_limit: int) -> Iterator[list[PointId]]:
    """Yield `keys` in runs of at most `row_limit`, each short enough for one filter."""
    chunk: list[PointId] = []
    chunk_bytes = 0
    for key in keys:
        key_bytes = 24 if isinstance(key, int) else 2 * len(key.encode()) + 3
        if chunk and (len(chunk) == row_limit or chunk_bytes + key_bytes > _MAX_FILTER_BYTES):
            yield chunk
            chunk, chunk_bytes = [], 0
        chunk.append(key)
        chunk_bytes += key_bytes
    if chunk:
        yield chunk
