"""Logs of searches and events in files and tables, as DuckDB writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from nudge_sync.connector import Record, Records, Where


def write_table(
    path: Path, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]
) -> None:
    """Write a table to a file: a database, or what COPY makes of the name of the file.

    columns: name -> type, of the values in each row.
    """
    is_database = path.suffix == ".duckdb"
    with duckdb.connect(str(path) if is_database else ":memory:") as connection:
        definitions = ", ".join(f'"{column}" {type_}' for column, type_ in columns.items())
        connection.execute(f"CREATE TABLE {name} ({definitions})")
        if rows:
            places = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {name} VALUES ({places})", rows)
        if not is_database:
            connection.execute(f"COPY {name} TO '{path}'")


class RecordByRecord:
    """Records of a log, which are read one by one even where it is a table."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def scan(self, where: Where | None = None, *, vectors: bool = True) -> Iterator[list[Record]]:
        """Yield what the records yield."""
        return self._records.scan(where, vectors=vectors)

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """Return what the records return."""
        return self._records.get(keys, vectors=vectors)
