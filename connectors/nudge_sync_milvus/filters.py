from __future__ import annotations

from collections.abc import Iterable, Sequence

from nudge_sync.connector import PointId

LARGEST = 1.7976931348623157e308
INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
FILTER_BYTES = 8 * 1024 * 1024
# The escapes that Milvus 2.3, its successors and Milvus Lite all read alike. Everything else
# stands for itself between double quotes.
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def literal(value: str | float) -> str:
    """`value` as a literal of Milvus's filter language, whatever is in it."""
    if isinstance(value, str):
        return f'"{value.translate(ESCAPES)}"'
    if isinstance(value, float):
        return _decimal(value)
    return str(value)


def _decimal(value: float) -> str:
    text = format(value, ".17g")
    return text if any(mark in text for mark in ".en") else f"{text}.0"


def key_can_exist(key: object, *, integers: bool, max_bytes: int) -> bool:
    """Whether a primary key field of this type can hold `key`."""
    if integers:
        return type(key) is int and INT64_MIN <= key <= INT64_MAX
    if not isinstance(key, str):
        return False
    try:
        return len(key.encode()) <= max_bytes
    except UnicodeEncodeError:
        return False


def among(field: str, keys: Sequence[PointId]) -> str:
    """A filter for the rows whose primary key is one of `keys`."""
    listed = [literal(key) for key in keys if key != INT64_MIN]
    filter_ = f"{field} in [{','.join(listed)}]"
    return f"{filter_} or {_lowest(field)}" if INT64_MIN in keys else filter_


def after(field: str, key: PointId | None, *, integers: bool) -> str:
    """A filter for the rows whose primary key comes after `key`; None: all of them."""
    if key == INT64_MIN:
        return f"{field} >= {INT64_MIN + 1}"
    if key is not None:
        return f"{field} > {literal(key)}"
    return f"({field} >= 0 or {field} < 0)" if integers else f'{field} >= ""'


def up_to(field: str, key: PointId | None) -> str:
    """A filter for the rows whose primary key is `key` or comes before it; None: all of them."""
    if key == INT64_MIN:
        return _lowest(field)
    return "" if key is None else f"{field} <= {literal(key)}"


def _lowest(field: str) -> str:
    # Milvus reads the minus apart from the number, and 2**63 alone is too large for it.
    return f"{field} < {INT64_MIN + 1}"


def both(left: str, right: str) -> str:
    """A filter for the rows that both select; an empty one selects every row."""
    return f"({left}) and ({right})" if left and right else left or right


def number_range(field: str, low: float, high: float, *, inclusive: bool) -> str:
    """A filter for low <= field < high, or <= high where `inclusive`."""
    low, high = (float(min(max(bound, -LARGEST), LARGEST)) for bound in (low, high))
    return f"{field} >= {literal(low)} and {field} {'<=' if inclusive else '<'} {literal(high)}"


def chunks(keys: Sequence[PointId], rows: int) -> Iterable[list[PointId]]:
    """`keys` in runs of at most `rows`, each short enough for one filter."""
    run: list[PointId] = []
    size = 0
    for key in keys:
        cost = 24 if isinstance(key, int) else 2 * len(key.encode()) + 3
        if run and (len(run) == rows or size + cost > FILTER_BYTES):
            yield run
            run, size = [], 0
        run.append(key)
        size += cost
    if run:
        yield run
