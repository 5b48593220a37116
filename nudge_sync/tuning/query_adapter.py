"""An affine map of query vectors that an application applies before it searches.

It needs NumPy alone, so that an application can load it beside its embedding model.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.errors import InputError
from nudge_sync.solve.geometry import MIN_LENGTH, lengths

ADAPTER_FORMAT = 1
"""Of the file; another number is not read."""
MAX_FILE_BYTES = 1 << 30
"""A larger file is refused before it is read."""
_FIELDS = frozenset({"format", "dimension", "version", "details", "offset", "matrix"})

VectorsT = TypeVar("VectorsT")


@dataclass(frozen=True, slots=True, eq=False)
class QueryAdapter:
    """A map of queries: q becomes |q| unit(q A + b), of the length that it had.

    Learned by `nudge-sync query-adapter`, loaded and called by an application:

        adapter = QueryAdapter.load("docs.adapter.json")
        hits = search(adapter(embed(text)))

    It holds no lock and no state, so threads and event loops may share one.
    """

    matrix: Float32
    """A, (d, d), for `queries @ matrix`."""
    offset: Float32
    """b, (d,), for queries of length one."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What it was learned from and what it gained, as JSON can hold it."""
    version: str = field(init=False)
    """Sixteen hexadecimal digits that only this map has, to be logged with a search."""

    def __post_init__(self) -> None:
        """Compute the version; raise InputError unless shapes agree and all numbers are finite."""
        dimension = len(self.offset)
        if self.matrix.shape != (dimension, dimension) or self.offset.shape != (dimension,):
            raise InputError(
                f"a query adapter needs a matrix (d, d) and an offset (d,); these are "
                f"{self.matrix.shape} and {self.offset.shape}"
            )
        if not (np.isfinite(self.matrix).all() and np.isfinite(self.offset).all()):
            raise InputError("a query adapter holds a number that is not finite")
        object.__setattr__(self, "version", _digest_map(self.matrix, self.offset))

    @property
    def dimension(self) -> int:
        """The dimension d of the queries that it takes."""
        return len(self.offset)

    def __call__(self, vectors: VectorsT) -> VectorsT:
        """Return queries as they are to be searched with; the argument is not changed.

        vectors: one query (d,) or several (q, d), of any length; an array gives an array of
        float32, and a list a list. A query that is zero or not finite comes back as it is.
        Raises InputError for another dimension.
        """
        rows = np.asarray(vectors, np.float32)
        if rows.ndim not in {1, 2} or rows.shape[-1] != self.dimension:
            raise InputError(
                f"queries of shape {rows.shape} do not fit this adapter, which is for "
                f"{self.dimension} dimensions; was the embedding model changed?"
            )
        adapted = self._map_rows(np.atleast_2d(rows)).reshape(rows.shape)
        return adapted.tolist() if isinstance(vectors, list) else adapted  # type: ignore[return-value]

    def _map_rows(self, rows: Float32) -> Float32:
        length = lengths(rows)
        usable = np.isfinite(length) & (length > MIN_LENGTH)
        directions = (rows[usable] / length[usable, None]).astype(np.float32)
        moved = directions @ self.matrix + self.offset
        adapted = rows.copy()
        scale = length[usable] / np.maximum(lengths(moved), MIN_LENGTH)
        adapted[usable] = moved * scale[:, None]
        return adapted

    def save(self, path: str | Path) -> None:
        """Write the adapter to a file of JSON; one that is there is replaced at once, whole.

        Raises InputError where the file cannot be written.
        """
        content = {
            "format": ADAPTER_FORMAT,
            "dimension": self.dimension,
            "version": self.version,
            "details": dict(self.details),
            "offset": _encode(self.offset),
            "matrix": _encode(self.matrix),
        }
        target = Path(path)
        temporary = target.with_name(target.name + ".part")
        try:
            temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
            temporary.replace(target)
        except OSError as error:
            raise InputError(f"{target}: cannot be written: {error.strerror}") from None

    @classmethod
    def load(cls, path: str | Path) -> QueryAdapter:
        """Return the adapter in the file at `path`.

        Raises InputError where it is not one that `save` wrote, whole; nothing in the file is
        executed.
        """
        try:
            return _parse_content(json.loads(_read_text(Path(path))))
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"{path}: not a query adapter: {reason}") from None
        except InputError as error:
            raise InputError(f"{path}: not a query adapter: {error}") from None


def _digest_map(matrix: Float32, offset: Float32) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in (matrix, offset):
        digest.update(np.ascontiguousarray(part, "<f4").tobytes())
    return digest.hexdigest()


def _read_text(path: Path) -> str:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InputError("larger than any adapter")
    return path.read_text(encoding="utf-8")


def _encode(numbers: Float32) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers, "<f4").tobytes()).decode("ascii")


def _decode(text: Any, count: int) -> Float32:
    if not isinstance(text, str):
        raise InputError("its numbers are no base64 text")
    numbers = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    if len(numbers) != count:
        raise InputError(f"{len(numbers)} numbers where {count} belong; it is cut short")
    return numbers


def _parse_content(content: Any) -> QueryAdapter:
    if not isinstance(content, dict) or set(content) != _FIELDS:
        raise InputError(f"it has to hold {', '.join(sorted(_FIELDS))}, and nothing else")
    if content["format"] != ADAPTER_FORMAT:
        raise InputError(
            f"its format is {content['format']!r}; this version reads {ADAPTER_FORMAT}"
        )
    dimension = content["dimension"]
    if type(dimension) is not int or dimension < 1 or not isinstance(content["details"], dict):
        raise InputError("its dimension or its details are of another type")
    adapter = QueryAdapter(
        _decode(content["matrix"], dimension * dimension).reshape(dimension, dimension),
        _decode(content["offset"], dimension),
        content["details"],
    )
    if adapter.version != content["version"]:
        raise InputError("its numbers are not those that were saved")
    return adapter
