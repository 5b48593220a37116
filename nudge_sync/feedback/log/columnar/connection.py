"""Connections to DuckDB, and the relation that the place of a log is for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nudge_sync.base.threads import count_cores
from nudge_sync.errors import ConfigError, DatabaseError
from nudge_sync.feedback.log.columnar.column_types import build_json_type, quote_name, quote_text
from nudge_sync.settings.log_place import LogPlace, find_reader

_MAX_THREADS = 4
"""The rest of the work is done by one thread, so that more would only read ahead."""
_SETTINGS = {
    "streaming_buffer_size": "32MB",
    # Nothing that is read here needs to be sorted or grouped, so that nothing is written to disk.
    "temp_directory": "",
    "TimeZone": "UTC",
}
_OPTIONS = {
    "parquet": "union_by_name = true",
    # Types that are guessed from the first lines would refuse a later one.
    "csv": "union_by_name = true, all_varchar = true",
    "json": "union_by_name = true",
}
_S3_VARIABLES = {
    "KEY_ID": ("AWS_ACCESS_KEY_ID",),
    "SECRET": ("AWS_SECRET_ACCESS_KEY",),
    "SESSION_TOKEN": ("AWS_SESSION_TOKEN",),
    "REGION": ("AWS_REGION", "AWS_DEFAULT_REGION"),
}


@contextmanager
def connect_place(place: LogPlace, max_threads: int = _MAX_THREADS) -> Iterator[tuple[Any, str]]:
    """Yield a connection, and the SQL of the relation that the place is.

    max_threads: most of DuckDB's own; each holds the columns of a row group of a Parquet file.
    Raises ConfigError where DuckDB or PyArrow is not installed.
    """
    duckdb, _ = import_engine()
    with duckdb.connect(config={"threads": min(count_cores(), max_threads)}) as connection:
        for name, value in _SETTINGS.items():
            connection.execute(f"SET {name} = {quote_text(value)}")
        yield connection, _open_relation(connection, place)


@contextmanager
def name_place(setting: str, place: str) -> Iterator[None]:
    """Raise DuckDB's errors as DatabaseError where a server does not answer or the memory is used
    up, else as ConfigError that names the setting and the place.
    """
    duckdb, arrow = import_engine()
    failures = duckdb.HTTPException, duckdb.OutOfMemoryException, arrow.ArrowException
    try:
        yield
    except failures as error:
        raise DatabaseError(f"reading {place}: {error}") from error
    except duckdb.Error as error:
        raise ConfigError(f"{setting} {place}: {error}") from error


def import_engine() -> tuple[Any, Any]:
    """Return the modules duckdb and pyarrow. Raises ConfigError where one is not installed."""
    try:
        import duckdb  # noqa: PLC0415
        import pyarrow as pa  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            "a log in files or in a table needs DuckDB and PyArrow; install them with: "
            "pip install 'nudge-sync[columnar]'"
        ) from None
    return duckdb, pa


def _open_relation(connection: Any, place: LogPlace) -> str:
    if place.files:
        patterns = place.list_files()
        if any(pattern.startswith("s3://") for pattern in patterns):
            _give_s3_secret(connection)
        reader = find_reader(patterns[0])
        listed = ", ".join(map(quote_text, patterns))
        arguments = f"[{listed}], {_OPTIONS[reader]}"
        if reader == "json":
            arguments += f", columns = {_list_json_types(connection, arguments)}"
        return f"read_{reader}({arguments})"
    kind = ", TYPE postgres" if "://" in place.database else ""
    connection.execute(f"ATTACH {quote_text(place.database)} AS log (READ_ONLY{kind})")
    return ".".join(["log", *map(quote_name, place.table.split("."))])


def _list_json_types(connection: Any, arguments: str) -> str:
    """Return the columns of JSON files and their types, as an argument of `read_json`."""
    guess = connection.sql(f"SELECT * FROM read_json({arguments}) LIMIT 0")  # noqa: S608
    columns = zip(guess.columns, guess.types, strict=True)
    types = [f"{quote_text(name)}: {quote_text(build_json_type(of))}" for name, of in columns]
    return f"{{{', '.join(types)}}}"


def _give_s3_secret(connection: Any) -> None:
    """Hand over what the usual variables of the environment say of an S3 account."""
    values = {
        name: value
        for name, variables in _S3_VARIABLES.items()
        if (value := next((os.environ[each] for each in variables if os.environ.get(each)), ""))
    }
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        values |= {"ENDPOINT": host.rstrip("/"), "URL_STYLE": "path"}
        values |= {"USE_SSL": "false"} if scheme == "http" else {}
    if values:
        pairs = ", ".join(f"{name} {quote_text(value)}" for name, value in values.items())
        connection.execute(f"CREATE SECRET (TYPE s3, {pairs})")
