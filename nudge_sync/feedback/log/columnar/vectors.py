"""Query vectors of a table: each distinct one is looked at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32, Int64
from nudge_sync.errors import ConfigError
from nudge_sync.feedback.log.id_encoding import IntegerInterner
from nudge_sync.feedback.log.searches_builder import NO_VECTOR, SearchesBuilder
from nudge_sync.feedback.schema.records import compute_vector_digest
from nudge_sync.feedback.schema.values import BadRow, parse_vector


@dataclass(frozen=True, slots=True)
class VectorBatch:
    """The vectors of a batch of n rows, those of another length left out."""

    matrix: Float32
    """(m, d)."""
    matrix_row: Int64
    """(n,): the row of the matrix, or -1."""
    hashes: Int64
    """(n,): what stands for each in a `SearchesBuilder`; NO_VECTOR where it is none."""

    def add_to(self, builder: SearchesBuilder, rows: Int64) -> None:
        """Hand over the vectors of some rows that the builder has not got yet."""
        hashes, first = np.unique(self.hashes[rows], return_index=True)
        for vector_hash, row in zip(hashes.tolist(), rows[first].tolist(), strict=True):
            if vector_hash not in builder.vector_by_hash:
                builder.add_vector(vector_hash, self.matrix[self.matrix_row[row]])


class VectorRegister:
    """The distinct vectors met so far, at 21 bytes each."""

    def __init__(self, builder: SearchesBuilder) -> None:
        self._dimension = builder.dimension
        self._reads_vectors = builder.reads_vectors
        self._interner = IntegerInterner()
        self._hashes = np.zeros(0, np.int64)
        """What stands for each in the builder; NO_VECTOR for what no query can have."""

    def read(self, column: Any) -> VectorBatch:
        """Return the vectors of an Arrow column of lists."""
        sizes = read_sizes(column)
        matrix, rows = _read_matrix(column, sizes, self._dimension)
        bits = np.fromiter((hash(vector.tobytes()) for vector in matrix), np.int64, len(matrix))
        numbers, new = self._interner.encode(bits)
        new_hashes = [self._hash_vector(matrix[row], int(bits[row])) for row in new.tolist()]
        self._hashes = np.append(self._hashes, np.array(new_hashes, np.int64))
        hashes = np.full(len(sizes), NO_VECTOR, np.int64)
        hashes[rows] = self._hashes[numbers]
        matrix_row = np.full(len(sizes), -1, np.int64)
        matrix_row[rows] = np.arange(len(rows))
        return VectorBatch(matrix, matrix_row, hashes)

    def _hash_vector(self, vector: Float32, bits: int) -> int:
        try:
            parse_vector(vector, self._dimension)
        except BadRow:
            return NO_VECTOR
        # The builder tells its own vectors apart by their digests, or by their bits.
        return bits if self._reads_vectors else hash(compute_vector_digest(vector))


def read_sizes(column: Any) -> NDArray[np.int32]:
    """Return how many entries each list of an Arrow column has, 0 where there is none, (n,)."""
    return np.asarray(column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))


def refuse_vector_sizes(sizes: Collection[int], dimension: int, vector: str, place: str) -> None:
    """Raise ConfigError where no vector at the beginning of a log is of the collection's size.

    sizes: those that occur. vector: the setting that names it. place: the log.
    """
    if dimension in sizes:
        return
    size_list = ", ".join(map(str, sorted(sizes))) or "none at all"
    raise ConfigError(
        f'[feedback.searches] vector = "{vector}": the queries need vectors of {dimension} '
        f'numbers; the first of "{place}" have {size_list}'
    )


def _read_matrix(column: Any, sizes: NDArray[np.int32], dimension: int) -> tuple[Float32, Int64]:
    """Return the vectors of the right size, (m, d), and their rows, (m,)."""
    # A missing number becomes NaN, which no vector may hold.
    numbers = column.flatten().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(sizes == dimension)
    if len(rows) < len(sizes):
        starts = np.cumsum(sizes, dtype=np.int64) - sizes
        numbers = numbers[starts[rows][:, None] + np.arange(dimension)]
    with np.errstate(over="ignore"):
        return numbers.reshape(len(rows), dimension).astype(np.float32, copy=False), rows
