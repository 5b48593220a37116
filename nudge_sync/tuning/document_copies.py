"""Copies of documents that may be written, without taking memory where a file holds them."""

from __future__ import annotations

import mmap
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32
from nudge_sync.base.chunks import list_chunks
from nudge_sync.base.threads import map_in_threads

_COMPARED_ROWS = 1024
"""Rows by which a file is recognised as the one that was mapped."""


def copy_documents(documents: NDArray[Any]) -> Float32:
    """Return a float32 copy that may be written; of a mapped file, a copy-on-write mapping."""
    if isinstance(documents, np.memmap) and documents.dtype == np.float32:
        mapped = _map_again(documents)
        if mapped is not None:
            return mapped
    copied = np.empty(documents.shape, np.float32)

    def copy(rows: slice) -> None:
        copied[rows] = documents[rows]

    map_in_threads(copy, list_chunks(len(documents), 1 << 14))
    return copied


def _map_again(documents: np.memmap[Any, Any]) -> Float32 | None:
    """Return a copy-on-write mapping of the file that documents are mapped from.

    None where it may hold something else: the array is a part of a mapping or has changes of its
    own, or the file was replaced since, as some rows from all over it tell.
    """
    is_whole = isinstance(documents.base, mmap.mmap)
    if not is_whole or documents.mode == "c" or documents.filename is None:
        return None
    order: Literal["C", "F"] = "C" if documents.flags.c_contiguous else "F"
    shape = (documents.shape[0], documents.shape[1])
    try:
        mapped: Float32 = np.memmap(
            documents.filename, np.float32, "c", documents.offset, shape, order
        )
    except (OSError, ValueError):
        return None
    rows = np.unique(np.linspace(0, len(documents) - 1, _COMPARED_ROWS).astype(np.int64))
    return mapped if mapped[rows].tobytes() == documents[rows].tobytes() else None
