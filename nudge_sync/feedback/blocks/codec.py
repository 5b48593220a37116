"""A block as bytes, and back, bit for bit."""

from __future__ import annotations

import io
import json
import struct
import zlib
from dataclasses import fields
from tokenize import TokenError
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np

from nudge_sync.feedback.blocks.columns import EventBlock, SearchBlock

BLOCK_VERSION = 1
"""To be raised with every change of the form, and of which records count as searches and events."""
_Block = TypeVar("_Block", EventBlock, SearchBlock)
_DECODING_ERRORS = (
    *(ValueError, TypeError, KeyError, EOFError, OSError, ArithmeticError, MemoryError),
    *(BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError),
    # What NumPy's parser of an array's header lets through.
    *(TokenError, SyntaxError),
)
_LISTS = "lists"
"""The array that holds, as JSON, everything that is no array."""


def encode_block(block: EventBlock | SearchBlock) -> bytes:
    """Return a compressed archive of the block's columns."""
    values = {field.name: getattr(block, field.name) for field in fields(block)}
    arrays: dict[str, Any] = {
        name: value for name, value in values.items() if isinstance(value, np.ndarray)
    }
    others = {name: value for name, value in values.items() if name not in arrays}
    # As ASCII, which also holds half a surrogate pair.
    text = json.dumps(others, separators=(",", ":")).encode("ascii")
    archive = io.BytesIO()
    arrays[_LISTS] = np.frombuffer(text, np.uint8)
    np.savez_compressed(archive, **arrays)
    return archive.getvalue()


def decode_block(kind: type[_Block], data: bytes) -> _Block:
    """Return the block that `encode_block` made these bytes of.

    Raises ValueError where they hold none.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
        others = json.loads(arrays.pop(_LISTS).tobytes())
        block = kind(**others, **arrays)
        rows = [(getattr(block, name), getattr(block, of)) for name, of in kind.LISTS.items()]
    except _DECODING_ERRORS as error:
        raise ValueError(f"no block: {error}") from error
    for column, distinct in rows:
        if column.size and not 0 <= column.min() <= column.max() < len(distinct):
            raise ValueError("no block: a row beyond its list")
    return block
