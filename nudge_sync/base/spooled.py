"""Columns that grow in memory, and in a temporary file once they are large.

A log of a hundred million events does not fit into memory. Such a file has no name: nobody else can
open it, and it is gone with the process, however that ends. It lies where `tempfile` puts files,
which the environment variable TMPDIR says.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import IO, Any
from weakref import WeakSet, finalize

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.chunks import list_chunks
from nudge_sync.errors import DiskFull

MEMORY_BYTES = 2**22
"""What is longer lies in a file."""
ROWS_PER_PART = 2**19
"""Rows of a large column that are worked on at a time. The size changes no bit of any result."""
_BLOCK_BYTES = 2**20
_maps: WeakSet[mmap.mmap] = WeakSet()
_maps_lock = Lock()
"""Held while the set of maps is changed or gone through."""


class SpooledColumn:
    """A column of values of one type, which grows at its end."""

    def __init__(self, dtype: Any) -> None:
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._pending = bytearray()
        """What is not in the file."""
        self._file: IO[bytes] | None = None
        self._file_bytes = 0
        self._lock = Lock()
        """Held while the file is read or written: threads share its position."""

    def __len__(self) -> int:
        return (self._file_bytes + len(self._pending)) // int(self.dtype.itemsize)

    def extend(self, values: Iterable[Any]) -> None:
        """Append the values. Raises DiskFull."""
        array = values if isinstance(values, np.ndarray) else np.array(list(values), self.dtype)
        self._pending += np.ascontiguousarray(array, self.dtype).view(np.uint8).data
        limit = MEMORY_BYTES if self._file is None else _BLOCK_BYTES
        if len(self._pending) > limit:
            self._write()

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return a copy of the values from `start` to before `stop`."""
        low, high = start * self.dtype.itemsize, stop * self.dtype.itemsize
        data = bytearray()
        if self._file is not None and low < self._file_bytes:
            with self._lock:
                self._file.seek(low)
                data += self._file.read(min(high, self._file_bytes) - low)
        if high > self._file_bytes:
            data += self._pending[max(0, low - self._file_bytes) : high - self._file_bytes]
        return _view(data, self.dtype)

    def to_array(self) -> NDArray[Any]:
        """Return all values, of which nothing is copied; the column must not grow any more."""
        if self._file is None:
            return _view(self._pending, self.dtype)
        self._write()
        mapped = mmap.mmap(self._file.fileno(), self._file_bytes, access=mmap.ACCESS_READ)
        with _maps_lock:
            _maps.add(mapped)
        return _view(mapped, self.dtype)

    def tolist(self) -> list[Any]:
        """Return all values as Python's own."""
        return list(self.read(0, len(self)).tolist())

    def _write(self) -> None:
        with _explain_full_disk(), self._lock:
            if self._file is None:
                self._file = _open_file()
                finalize(self, self._file.close)
            self._file.seek(self._file_bytes)
            self._file.write(self._pending)
            self._file.flush()
        self._file_bytes += len(self._pending)
        self._pending = bytearray()


def _open_file() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="nudge-sync-")


def _view(data: bytearray | mmap.mmap, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.frombuffer(data, dtype) if len(data) else np.zeros(0, dtype)


@contextmanager
def _explain_full_disk() -> Iterator[None]:
    """Raise DiskFull, with what to do, where a temporary file cannot be made or written."""
    try:
        yield
    except OSError as error:
        raise DiskFull(
            f"a large log is sorted in temporary files in {tempfile.gettempdir()}, which cannot "
            f"be written: {error.strerror}. Free some room there, or name another folder with the "
            "environment variable TMPDIR"
        ) from error


def list_parts(count: int) -> list[slice]:
    """Return slices that cover `count` rows in order, each of at most `ROWS_PER_PART`."""
    return list_chunks(count, ROWS_PER_PART)


def read_parts(count: int) -> Iterator[slice]:
    """Yield the slices of `list_parts`; after each, pages of mapped files are given back."""
    for part in list_parts(count):
        yield part
        release_pages()


def compute_column(
    count: int, dtype: Any, compute: Callable[[slice], NDArray[Any]]
) -> NDArray[Any]:
    """Return a column of `count` values, of which `compute` returns a part at a time."""
    column = SpooledColumn(dtype)
    for part in read_parts(count):
        column.extend(compute(part))
    return column.to_array()


def release_pages() -> None:
    """Let go of the pages of all mapped files; they are read again when they are needed."""
    with _maps_lock:
        maps = list(_maps)
    for mapped in maps:
        with suppress(OSError, ValueError, AttributeError):
            mapped.madvise(mmap.MADV_DONTNEED)
