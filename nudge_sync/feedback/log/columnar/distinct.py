"""Columns of a batch as their distinct values, so that each is parsed and encoded only once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64, Int32, Int64
from nudge_sync.feedback.schema.fields import HOLES, drop_hole
from nudge_sync.feedback.schema.moments import parse_past_timestamp, parse_past_timestamps
from nudge_sync.feedback.schema.values import BadRow, parse_text


@dataclass(frozen=True, slots=True)
class DistinctValues:
    """A column of n rows, as the number of each row's value among k distinct ones."""

    codes: Int32
    """(n,)."""
    values: Sequence[Any]
    """k parsed values; None where one is not valid."""
    is_valid: NDArray[np.bool_]
    """(k,)."""

    def find_valid_rows(self) -> NDArray[np.bool_]:
        """Return which rows have a valid value, (n,)."""
        return np.asarray(self.is_valid[self.codes])

    def __len__(self) -> int:
        return len(self.values)

    def select_values(self, rows: Int64) -> list[Any]:
        """Return the values that some rows have, each once."""
        return [self.values[code] for code in self._find_used(rows).tolist()]

    def to_numbers(self, missing: float, dtype: Any) -> NDArray[Any]:
        """Return the values, which are numbers or None, as an array, (k,)."""
        return np.array([missing if value is None else value for value in self.values], dtype)

    def encode(self, rows: Int64, encode: Callable[[list[Any]], Int32]) -> Int32:
        """Return the numbers of the values of some rows, in their order.

        encode: gives the numbers of a list of values; it is asked only for values that these rows
        have, each once.
        """
        numbers = np.empty(len(self), np.int32)
        used = self._find_used(rows)
        numbers[used] = encode([self.values[code] for code in used.tolist()])
        return np.asarray(numbers[self.codes[rows]])

    def _find_used(self, rows: Int64) -> Int64:
        is_used = np.zeros(len(self), np.bool_)
        is_used[self.codes[rows]] = True
        return np.flatnonzero(is_used)


def read_column(batch: Any, role: str, parse: Callable[[Any], Any]) -> DistinctValues:
    """Return the distinct values of a column of an Arrow batch, each parsed.

    parse: raises BadRow for a value that is not valid. It is asked for None where there is no such
    column, and where a row has no value or what stands for none.
    """
    if role not in batch.schema.names:
        is_valid = np.ones(1, np.bool_)
        return DistinctValues(np.zeros(batch.num_rows, np.int32), [parse(None)], is_valid)
    codes, raw_values = split_distinct(batch.column(role))
    return DistinctValues(codes, *parse_each(raw_values, parse))


def read_names(batch: Any, role: str, parse: Callable[[Any], Any]) -> DistinctValues:
    """Return what `read_column` does, where `parse` gives back every text as it is.

    A database hands over no text that is not well-formed, so that only what stands for none needs
    a look.
    """
    if role not in batch.schema.names or str(batch.column(role).type) != "string":
        return read_column(batch, role, parse)
    codes, names = split_distinct(batch.column(role))
    is_valid = np.ones(len(names), np.bool_)
    holes = [code for code, name in enumerate(names) if name is None or name.strip() in HOLES]
    for code in holes:
        [names[code]], is_valid[code : code + 1] = parse_each([None], parse)
    return DistinctValues(codes, names, is_valid)


def parse_each(
    raw_values: Sequence[Any], parse: Callable[[Any], Any]
) -> tuple[list[Any], NDArray[np.bool_]]:
    """Return the parsed values, None where one is not valid, and which are valid, (k,)."""
    values: list[Any] = []
    is_valid = np.ones(len(raw_values), np.bool_)
    for code, raw_value in enumerate(raw_values):
        try:
            values.append(parse(drop_hole("", raw_value)))
        except BadRow:
            values.append(None)
            is_valid[code] = False
    return values, is_valid


def read_times(batch: Any) -> tuple[Float64, NDArray[np.bool_]]:
    """Return the times of the rows in seconds since 1970, 0 for none, (n,); and which rows have
    none or one that is valid, (n,).
    """
    if "time" not in batch.schema.names:
        return np.zeros(batch.num_rows), np.ones(batch.num_rows, np.bool_)
    column = batch.column("time")
    if str(column.type) == "double":
        numbers = column.fill_null(0.0).to_numpy()
        return parse_past_timestamps(np.where(np.isnan(numbers), 0.0, numbers))
    distinct = read_column(batch, "time", parse_past_timestamp)
    return distinct.to_numbers(0.0, np.float64)[distinct.codes], distinct.find_valid_rows()


def split_distinct(column: Any) -> tuple[Int32, list[Any]]:
    """Return the code of each row of an Arrow column, (n,), and the k values."""
    encoded = column.dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def parse_session(value: Any) -> str:
    """Return the name of a session, or "" for None. Raises BadRow."""
    return parse_text(value, "session")


def parse_client(value: Any) -> str:
    """Return the name of a client, or "" for None. Raises BadRow."""
    return parse_text(value, "client")
