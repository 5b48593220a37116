"""One log as a table: its mapped columns, read in batches by DuckDB or as documents of records."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from nudge_sync.connector import Record, Where
from nudge_sync.feedback.log.columnar.column_types import Column, find_table_column, quote_name
from nudge_sync.feedback.log.columnar.conditions import build_name_condition, build_time_condition
from nudge_sync.feedback.log.columnar.connection import connect_place, name_place
from nudge_sync.feedback.log.columnar.expressions import build_expression
from nudge_sync.settings.feedback import EventLog, SearchLog
from nudge_sync.settings.log_place import LogPlace

_ROLE_BY_FIELD = {"client_id": "client", "session_id": "session", "query_id": "query_id"}
"""Field of a stored document -> the setting that names its column."""
VECTOR = "vector"
_BATCH_SIZE = 1000


class LogTable:
    """A log in files or in a table of a database, which is never written.

    It is looked at when it is first read: ConfigError then names a place that is not there, a
    column that is not there, and one whose type is not what its role asks for. A server that does
    not answer is a DatabaseError.
    """

    def __init__(self, fields: SearchLog | EventLog, section: str) -> None:
        self._fields = fields
        self._setting = f"[feedback.{section}]"
        self.place = fields.place
        names = fields.model_dump(exclude=set(LogPlace.model_fields))
        self._paths: dict[str, str] = {role: path for role, path in names.items() if path}

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """The mapped columns by their role, which is the key of the setting that names them."""
        with (
            name_place(self._setting, self.place),
            connect_place(self._fields) as (connection, relation),
        ):
            schema = connection.sql(f"SELECT * FROM {relation} LIMIT 0")  # noqa: S608
            types = dict(zip(schema.columns, schema.types, strict=True))
        return {
            role: find_table_column(types, path, f"{self._setting} {role}", self.place)
            for role, path in self._paths.items()
        }

    @cached_property
    def expressions(self) -> Mapping[str, str]:
        """The SQL of each mapped column, by its role; see `build_expression`."""
        return {
            role: build_expression(role, column, f'{self._setting} {role} = "{self._paths[role]}"')
            for role, column in self.columns.items()
        }

    def read_batches(
        self, columns: Mapping[str, str], condition: str, batch_rows: int
    ) -> Iterator[Any]:
        """Yield Arrow record batches of at most `batch_rows` rows.

        columns: name -> SQL. condition: SQL, or "" for all rows.
        """
        selected = ", ".join(f"{sql} AS {quote_name(name)}" for name, sql in columns.items())
        # A row group of vectors may take hundreds of megabytes, and one thread outruns Python.
        threads = {"max_threads": 1} if VECTOR in columns else {}
        with (
            name_place(self._setting, self.place),
            connect_place(self._fields, **threads) as (connection, relation),
        ):
            where = f" WHERE {condition}" if condition else ""
            query = connection.sql(f"SELECT {selected} FROM {relation}{where}")  # noqa: S608
            for batch in query.to_arrow_reader(batch_rows):
                if batch.num_rows:
                    yield batch

    def count(self, sql: str) -> int:
        """Return what an aggregate over all rows gives, such as "count(*)"."""
        [batch] = self.read_batches({"count": sql}, "", 1)
        return int(batch.column(0)[0].as_py() or 0)

    def get_path(self, role: str) -> str:
        """Return what the setting of a role names."""
        return self._paths[role]

    def is_list(self, role: str) -> bool:
        """Return whether the expression of a role gives a list in each row."""
        return self.columns[role].kind in {"list", "json"}

    def build_time_condition(self, start: float) -> str:
        """Return a condition for the rows from `start` on and those without a time; "" for all."""
        column = self.columns.get("time")
        return build_time_condition(column, start) if column is not None and start > 0 else ""

    def find_documents(
        self, where: Where | None, query_ids: Collection[str] = (), *, vectors: bool
    ) -> Iterator[list[Record]]:
        """Yield the rows in batches as documents with the mapped fields, and with their vectors:
        all that match `where` or belong to one of some queries, and maybe others.

        Of `where` the client, the session and the query id are looked at; None: nothing matches.
        The key of a record is the number of its row among those that were read.
        """
        conditions = []
        if where is not None:
            conditions.append(self._build_condition(where))
        if query_ids or where is None:
            conditions.append(build_name_condition(self.columns["query_id"], query_ids))
        # Where one of the two allows no condition, every row is read.
        condition = " OR ".join(f"({each})" for each in conditions) if all(conditions) else ""
        yield from self._read_documents(condition, vectors=vectors)

    def _build_condition(self, where: Where) -> str:
        conditions = [
            build_name_condition(self.columns[role], [name])
            for field, role in _ROLE_BY_FIELD.items()
            if isinstance(name := where.get(field), str) and role in self.columns
        ]
        return " AND ".join(filter(None, conditions))

    def _read_documents(self, condition: str, *, vectors: bool) -> Iterator[list[Record]]:
        expressions = {
            role: sql for role, sql in self.expressions.items() if vectors or role != VECTOR
        }
        number = 0
        for batch in self.read_batches(expressions, condition, _BATCH_SIZE):
            rows = batch.to_pylist()
            yield [
                self._to_record(key, row, vectors=vectors) for key, row in enumerate(rows, number)
            ]
            number += len(rows)

    def _to_record(self, key: int, row: dict[str, Any], *, vectors: bool) -> Record:
        values = row.pop(VECTOR, None) if vectors else None
        vector = None if values is None else np.array(values, np.float64)
        document = {self._paths[role]: value for role, value in row.items()}
        return Record(f"row {key}", document, vector)  # type: ignore[arg-type]
