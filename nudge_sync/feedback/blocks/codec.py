"""A block as bytes, and back, bit for bit.

Compressed: the length of a header, the header as JSON, and the columns end to end. The header holds
the short lists of distinct values, and of each column its name, type and length. Names are a column
of their UTF-8 and one of their sizes. Integers take as few bytes as their column needs.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nudge_sync.feedback.blocks.columns import EventBlock, SearchBlock
from nudge_sync.feedback.log.strings import PackedStrings

BLOCK_VERSION = 2
"""To be raised with every change of the form, and of which records count as searches and events."""
_Block = TypeVar("_Block", EventBlock, SearchBlock)
_LENGTH_BYTES = 8
"""Of the header's length; the header is padded to a multiple of it, so that columns are aligned."""
_COLUMN_TYPES = {name: np.dtype(name) for name in ("|u1", "|i1", "<i2", "<i4", "<i8", "<f4", "<f8")}
_NARROW_TYPES = tuple(map(np.dtype, ("|i1", "<i2", "<i4")))
_TEXT, _SIZES = ".text", ".sizes"
"""What the names of the two columns of strings end with."""


def encode_block(block: EventBlock | SearchBlock) -> bytes:
    """Return the block's columns and lists, compressed."""
    columns: dict[str, NDArray[Any]] = {}
    others: dict[str, Any] = {}
    for field in fields(block):
        value = getattr(block, field.name)
        if isinstance(value, PackedStrings):
            columns[field.name + _TEXT], columns[field.name + _SIZES] = value.to_columns()
        elif isinstance(value, np.ndarray):
            columns[field.name] = value
        else:
            others[field.name] = value
    stored = {name: np.ascontiguousarray(_narrow(column)) for name, column in columns.items()}
    shapes = [
        (name, stored[name].dtype.str, column.dtype.newbyteorder("<").str, len(column))
        for name, column in columns.items()
    ]
    # As ASCII, which also holds half a surrogate pair.
    header = json.dumps({"others": others, "columns": shapes}, separators=(",", ":")).encode(
        "ascii"
    )
    header += b" " * (-len(header) % _LENGTH_BYTES)
    parts = [column.tobytes() for column in stored.values()]
    return zlib.compress(b"".join([len(header).to_bytes(_LENGTH_BYTES, "little"), header, *parts]))


def decode_block(kind: type[_Block], data: bytes) -> _Block:
    """Return the block that `encode_block` made these bytes of; its columns are read-only.

    Raises ValueError where they hold none.
    """
    try:
        content = zlib.decompress(data)
        start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
        header = json.loads(content[_LENGTH_BYTES:start])
        columns: dict[str, Any] = {}
        for name, stored_type, column_type, length in header["columns"]:
            stored = np.frombuffer(content, _COLUMN_TYPES[stored_type], length, start)
            columns[name] = stored.astype(_COLUMN_TYPES[column_type], copy=False)
            start += stored.nbytes
        for name in [name for name in columns if name.endswith(_TEXT)]:
            texts, sizes = columns.pop(name), columns.pop(name.replace(_TEXT, _SIZES))
            columns[name.removesuffix(_TEXT)] = PackedStrings.from_columns(texts, sizes)
        block = kind(**header["others"], **columns)
        rows = [(getattr(block, name), getattr(block, of)) for name, of in kind.LISTS.items()]
    except (ValueError, TypeError, KeyError, ArithmeticError, zlib.error) as error:
        raise ValueError(f"no block: {error}") from error
    for column, distinct in rows:
        if column.size and not 0 <= column.min() <= column.max() < len(distinct):
            raise ValueError("no block: a row beyond its list")
    return block


def _narrow(column: NDArray[Any]) -> NDArray[Any]:
    """Return a column of integers in the smallest type that holds them; others as they are."""
    if column.dtype.kind == "i" and len(column):
        for narrow_type in _NARROW_TYPES:
            limits = np.iinfo(narrow_type)
            if limits.min <= column.min() and column.max() <= limits.max:
                return column.astype(narrow_type)
    return column.astype(column.dtype.newbyteorder("<"), copy=False)
