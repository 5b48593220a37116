"""NumPy files as people hand them in: numbers are mapped, all else is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nudge_sync.base.npy import memory_map_npy
from nudge_sync.errors import InputError


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.uint8])
def test_an_array_of_numbers_is_mapped_and_not_read(tmp_path: Path, dtype):
    array = np.arange(12, dtype=dtype).reshape(3, 4)
    np.save(tmp_path / "a.npy", array)
    mapped = memory_map_npy(tmp_path / "a.npy")
    assert isinstance(mapped, np.memmap)
    assert mapped.dtype == dtype
    assert np.array_equal(mapped, array)
    assert not mapped.flags.writeable


@pytest.mark.parametrize(
    "array",
    [np.array(["text"]), np.array([True]), np.array([1j]), np.array([("a", 1)], "U1,i4")],
    ids=["text", "booleans", "complex", "records"],
)
def test_other_arrays_are_refused(tmp_path: Path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match="expected one array of numbers"):
        memory_map_npy(tmp_path / "a.npy")


def test_a_pickle_is_never_loaded(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(InputError, match="not a plain NumPy array"):
        memory_map_npy(tmp_path / "a.npy")


def test_a_file_of_another_kind_is_named(tmp_path: Path):
    np.savez(tmp_path / "archive.npz", a=np.zeros(2))
    (tmp_path / "empty.npy").touch()
    for name in ("archive.npz", "empty.npy"):
        with pytest.raises(InputError, match=f"{name}: not a .npy file"):
            memory_map_npy(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        memory_map_npy(tmp_path / "absent.npy")
    with pytest.raises(InputError, match="not a plain NumPy array"):
        memory_map_npy(tmp_path)


@pytest.mark.parametrize("size", [7, 20, 100, 130])
def test_a_truncated_file_is_refused(tmp_path: Path, size):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(16))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match="not a plain NumPy array"):
        memory_map_npy(path)
