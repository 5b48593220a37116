"""DuckDB's types in the few kinds that matter here, and columns found by name or by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

from nudge_sync.errors import ConfigError

Kind: TypeAlias = Literal[
    "integer",
    "wide",
    "float",
    "text",
    "json",
    "boolean",
    "moment",
    "list",
    "struct",
    "map",
    "other",
]
"""A wide number is whole, and may have more than the 63 bits of an integer."""
_KIND_BY_ID: dict[str, Kind] = {
    **dict.fromkeys(
        ("tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger"), "integer"
    ),
    **dict.fromkeys(("ubigint", "hugeint", "uhugeint"), "wide"),
    **dict.fromkeys(("float", "double"), "float"),
    **dict.fromkeys(("varchar", "enum", "uuid"), "text"),
    "boolean": "boolean",
    **dict.fromkeys(
        (
            "date",
            "timestamp",
            "timestamp_s",
            "timestamp_ms",
            "timestamp_ns",
            "timestamp with time zone",
        ),
        "moment",
    ),
    **dict.fromkeys(("list", "array"), "list"),
    "struct": "struct",
    "map": "map",
}
_MAX_LISTED = 20


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, or a field nested in one: the SQL that gives it, and DuckDB's type."""

    sql: str
    type: Any

    @property
    def kind(self) -> Kind:
        """Which kind of type it has."""
        return find_kind(self.type)

    @property
    def element(self) -> Any:
        """The type of the elements of a list."""
        return self.type.children[0][1]


def find_kind(type_: Any) -> Kind:
    """Return the kind of one of DuckDB's types."""
    if str(type_) == "JSON":
        return "json"
    if type_.id == "decimal":
        return "float" if dict(type_.children)["scale"] else "wide"
    return _KIND_BY_ID.get(type_.id, "other")


def build_json_type(type_: Any) -> str:
    """Return the SQL of the type as which a column of JSON files is to be read.

    type_: what DuckDB takes the column for. It guesses that from the first rows: it takes ids for
    UUIDs and days, large integers for floats, and rounds later fractions to integers. Objects keep
    their fields, so that these are found by name; all in them stays as it is written.
    """
    kind = find_kind(type_)
    if kind == "struct":
        fields = [f"{quote_name(name)} {build_json_type(of)}" for name, of in type_.children]
        return f"STRUCT({', '.join(fields)})"
    if kind == "map":
        return f"MAP(VARCHAR, {build_json_type(dict(type_.children)['value'])})"
    return "JSON"


def extract_json_text(sql: str) -> str:
    """Return the SQL of the text of a JSON value: a string without quotes, 7 and 7.0 alike."""
    text = f"json_extract_string({sql}, '$')"
    return (
        f"CASE json_type({sql}) WHEN 'DOUBLE' THEN regexp_replace({text}, '[.]0$', '') "
        f"ELSE {text} END"
    )


def find_table_column(columns: Mapping[str, Any], path: str, setting: str, place: str) -> Column:
    """Return the column of that name, or the field that the dots in `path` lead to.

    columns: name -> DuckDB's type. setting: what names the path in the TOML file; place: the log.
    Raises ConfigError that names what is near.
    """
    if (name := _match(columns, path)) is not None:
        return Column(quote_name(name), columns[name])
    first, *rest = path.split(".")
    name = _match(columns, first) if rest else None
    column = None if name is None else Column(quote_name(name), columns[name])
    for part in rest:
        column = None if column is None else _enter(column, part)
    if column is None:
        raise ConfigError(
            f'{setting} = "{path}": {place} has no such column{_suggest(path, columns)}'
        )
    return column


def _match(names: Any, wanted: str) -> str | None:
    """Return the name itself, or else one that differs in case alone, as in SQL."""
    if wanted in names:
        return wanted
    return next((name for name in names if name.casefold() == wanted.casefold()), None)


def _enter(column: Column, part: str) -> Column | None:
    """Return the field `part` of a column, or None where it cannot have one."""
    if column.kind == "struct":
        fields = dict(column.type.children)
        name = _match(fields, part)
        if name is None:
            return None
        return Column(f"struct_extract({column.sql}, {quote_text(name)})", fields[name])
    if column.kind == "map":
        value = dict(column.type.children)["value"]
        return Column(f"map_extract({column.sql}, {quote_text(part)})[1]", value)
    if column.kind in {"json", "text"}:
        # In a text, too: PostgreSQL's jsonb and what CSV holds come as such.
        document = column.sql if column.kind == "json" else f"TRY_CAST({column.sql} AS JSON)"
        path = '$."' + part.replace('"', '\\"') + '"'
        return Column(f"json_extract({document}, {quote_text(path)})", "JSON")
    return None


def _suggest(path: str, columns: Mapping[str, Any]) -> str:
    names = list(_list_paths(columns))
    near = get_close_matches(path, names, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return (
        f"{hint} It has: {', '.join(names[:_MAX_LISTED])}"
        if hint
        else (f"; it has: {', '.join(names[:_MAX_LISTED])}")
    )


def _list_paths(fields: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, type_ in fields.items():
        yield f"{prefix}{name}"
        if find_kind(type_) == "struct":
            yield from _list_paths(dict(type_.children), f"{prefix}{name}.")


def quote_name(name: str) -> str:
    """Return a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
