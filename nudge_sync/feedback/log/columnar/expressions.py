"""The SQL that gives each mapped column as text, a number or a list, whatever its type is.

Only the type is changed here. What a value means, and whether it is one at all, is decided by the
parsers in `nudge_sync.feedback.schema`, as for every other row.
"""

from __future__ import annotations

from collections.abc import Callable

from nudge_sync.errors import ConfigError
from nudge_sync.feedback.log.columnar.column_types import (
    Column,
    Kind,
    extract_json_text,
    find_kind,
    quote_name,
)
from nudge_sync.feedback.schema.moments import MILLISECONDS_THRESHOLD
from nudge_sync.feedback.schema.values import OBJECT_ID_KEYS

_TEXT, _NUMBER = "VARCHAR", "DOUBLE"
_SQL_TYPE_OF_ID: dict[Kind, str] = {
    "integer": "BIGINT",
    "wide": _TEXT,
    "float": _NUMBER,
    "text": _TEXT,
}
_SQL_TYPE_OF_NAME: dict[Kind, str] = {**_SQL_TYPE_OF_ID, "integer": _TEXT}
"""A whole number as an id of a query, a session or a client is its digits."""
_SQL_TYPE_OF_NUMBER: dict[Kind, str] = {**_SQL_TYPE_OF_ID, "wide": _NUMBER}


def build_expression(role: str, column: Column, setting: str) -> str:
    """Return the SQL of a mapped column.

    role: the key of `SearchLog` or `EventLog`. setting: what names the column in the TOML file.
    Ids, names, actions and numbers come as VARCHAR, BIGINT or DOUBLE; a time as seconds, or
    whatever a number counts, in DOUBLE, or as VARCHAR; points and what was shown as these or as a
    list of them; a vector as a list of FLOAT or DOUBLE.
    Raises ConfigError for a type that cannot be what the role asks for.
    """
    sql = _BUILDERS[role](column)
    if sql is None:
        raise ConfigError(f"{setting}: a column of type {column.type} cannot be that")
    return sql


def _cast(column: Column, sql_types: dict[Kind, str]) -> str | None:
    if column.kind == "json":
        return extract_json_text(column.sql)
    sql_type = sql_types.get(column.kind)
    return sql_type and f"CAST({column.sql} AS {sql_type})"


def _build_name(column: Column) -> str | None:
    return _cast(column, _SQL_TYPE_OF_NAME)


def _build_text(column: Column) -> str | None:
    return _cast(column, {}) if column.kind == "json" else f"CAST({column.sql} AS {_TEXT})"


def _build_action(column: Column) -> str | None:
    return None if column.kind == "float" else _build_name(column)


def _build_position(column: Column) -> str | None:
    return _cast(column, _SQL_TYPE_OF_NUMBER)


def _build_grade(column: Column) -> str | None:
    if column.kind == "boolean":
        return f"CAST(CAST({column.sql} AS TINYINT) AS {_NUMBER})"
    if column.kind == "json":
        return (
            f"CASE CAST({column.sql} AS {_TEXT}) WHEN 'true' THEN '1' WHEN 'false' THEN '0' "
            f"ELSE {extract_json_text(column.sql)} END"
        )
    return _cast(column, _SQL_TYPE_OF_NUMBER)


def _build_time(column: Column) -> str | None:
    if column.kind == "moment":
        seconds = f"epoch_us({column.sql}) / 1e6"
        # From here on a number would be taken for milliseconds; such a year is no moment anyway.
        return (
            f"CASE WHEN NOT isfinite({column.sql}) OR {seconds} >= {MILLISECONDS_THRESHOLD} "
            f"THEN CAST('infinity' AS DOUBLE) ELSE {seconds} END"
        )
    return _cast(column, {**_SQL_TYPE_OF_NUMBER, "integer": _NUMBER})


def _build_point(column: Column) -> str | None:
    if column.kind == "json":
        return (
            f"CASE json_type({column.sql}) "
            f"WHEN 'ARRAY' THEN [{_extract_json_id('o')} FOR o IN CAST({column.sql} AS JSON[])] "
            f"WHEN 'NULL' THEN NULL "
            f"ELSE [{extract_json_text(column.sql)}] END"
        )
    return _build_id_list(column) if column.kind == "list" else _cast(column, _SQL_TYPE_OF_ID)


def _build_shown(column: Column) -> str | None:
    return _build_id_list(column) if column.kind == "list" else _cast(column, {"text": _TEXT})


def _build_id_list(column: Column) -> str | None:
    """Return the SQL of a list of ids; of an object the id is taken that it has under a usual
    name.
    """
    kind = find_kind(column.element)
    if kind in _SQL_TYPE_OF_ID:
        return f"CAST({column.sql} AS {_SQL_TYPE_OF_ID[kind]}[])"
    if kind != "struct":
        return None
    fields = dict(column.element.children)
    keys = [key for key in OBJECT_ID_KEYS if find_kind_of(fields, key) in _SQL_TYPE_OF_ID]
    if not keys:
        return None
    kinds = {find_kind_of(fields, key) for key in keys}
    sql_type = _SQL_TYPE_OF_ID[kinds.pop()] if len(kinds) == 1 else _TEXT  # type: ignore[index]
    values = ", ".join(f"CAST(o.{quote_name(key)} AS {sql_type})" for key in keys)
    return f"[coalesce({values}) FOR o IN {column.sql}]"


def _extract_json_id(sql: str) -> str:
    """Return the SQL of an id in JSON; of an object the one that it has under a usual name."""
    ids = ", ".join(f"json_extract_string({sql}, '$.{key}')" for key in OBJECT_ID_KEYS)
    return (
        f"CASE json_type({sql}) WHEN 'OBJECT' THEN coalesce({ids}) "
        f"ELSE {extract_json_text(sql)} END"
    )


def find_kind_of(fields: dict[str, object], key: str) -> Kind | None:
    """Return the kind of a field, or None where there is none of that name."""
    return find_kind(fields[key]) if key in fields else None


def _build_vector(column: Column) -> str | None:
    if column.kind == "json":
        text = f"json_extract_string({column.sql}, '$')"
        return (
            f"CASE json_type({column.sql}) WHEN 'VARCHAR' THEN TRY_CAST({text} AS {_NUMBER}[]) "
            f"ELSE TRY_CAST({column.sql} AS {_NUMBER}[]) END"
        )
    if column.kind == "text":
        return f"TRY_CAST({column.sql} AS {_NUMBER}[])"
    if column.kind != "list" or find_kind(column.element) not in {"integer", "wide", "float"}:
        return None
    is_single = column.element.id == "float"
    return f"CAST({column.sql} AS {'FLOAT' if is_single else _NUMBER}[])"


_BUILDERS: dict[str, Callable[[Column], str | None]] = {
    "query_id": _build_name,
    "session": _build_name,
    "client": _build_name,
    "text": _build_text,
    "action": _build_action,
    "position": _build_position,
    "grade": _build_grade,
    "time": _build_time,
    "point": _build_point,
    "shown": _build_shown,
    "vector": _build_vector,
}
