"""A block as bytes, and back, bit for bit.

Compressed: the length of a header, the header as JSON, and the columns end to end. The header holds
the lists of distinct values, and of each column its name, type and length.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from nudge_sync.feedback.blocks.columns import EventBlock, SearchBlock

BLOCK_VERSION = 1
"""To be raised with every change of the form, and of which records count as searches and events."""
_Block = TypeVar("_Block", EventBlock, SearchBlock)
_LENGTH_BYTES = 8
"""Of the header's length; the header is padded to a multiple of it, so that columns are aligned."""
_COLUMN_TYPES = {name: np.dtype(name) for name in ("<i4", "<i8", "<f4", "<f8")}


def encode_block(block: EventBlock | SearchBlock) -> bytes:
    """Return the block's columns and lists, compressed."""
    values = {field.name: getattr(block, field.name) for field in fields(block)}
    columns: dict[str, Any] = {
        name: value for name, value in values.items() if isinstance(value, np.ndarray)
    }
    others = {name: value for name, value in values.items() if name not in columns}
    shapes = [
        (name, column.dtype.newbyteorder("<").str, len(column)) for name, column in columns.items()
    ]
    # As ASCII, which also holds half a surrogate pair.
    header = json.dumps({"others": others, "columns": shapes}, separators=(",", ":")).encode(
        "ascii"
    )
    header += b" " * (-len(header) % _LENGTH_BYTES)
    parts = [
        np.ascontiguousarray(columns[name], dtype=column_type).tobytes()
        for name, column_type, _ in shapes
    ]
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
        for name, column_type, length in header["columns"]:
            columns[name] = np.frombuffer(content, _COLUMN_TYPES[column_type], length, start)
            start += columns[name].nbytes
        block = kind(**header["others"], **columns)
        rows = [(getattr(block, name), getattr(block, of)) for name, of in kind.LISTS.items()]
    except (ValueError, TypeError, KeyError, ArithmeticError, zlib.error) as error:
        raise ValueError(f"no block: {error}") from error
    for column, distinct in rows:
        if column.size and not 0 <= column.min() <= column.max() < len(distinct):
            raise ValueError("no block: a row beyond its list")
    return block
