"""Columns come back the same out of memory and out of files, which nobody else finds."""

import resource
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.base import spooled
from nudge_sync.base.partitions import Partitions, choose_bounds, spread
from nudge_sync.base.spooled import SpooledColumn, compute_column, list_parts
from nudge_sync.errors import DiskFull

BATCHES = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9), max_size=9)
SIZES = st.sampled_from([1, 2, 7, 2**24])


def spool(batches, memory_bytes):
    """Return a column of the values of all batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spooled, "MEMORY_BYTES", memory_bytes)
        column = SpooledColumn(np.int32)
        for batch in batches:
            column.extend(batch)
    return column


@given(BATCHES, SIZES, st.integers(0, 90), st.integers(0, 90))
def test_what_was_appended_is_read_again(batches, memory_bytes, start, stop):
    values = [value for batch in batches for value in batch]
    column = spool(batches, memory_bytes)
    assert column.tolist() == values
    assert column.read(start, max(start, stop)).tolist() == values[start : max(start, stop)]
    assert len(column) == len(values)
    array = column.to_array()
    spooled.release_pages()
    assert (array.tolist(), array.dtype) == (values, np.int32)


@given(st.integers(0, 20), SIZES)
def test_a_column_is_computed_part_by_part(count, rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spooled, "ROWS_PER_PART", rows)
        parts = list_parts(count)
        column = compute_column(count, np.int64, lambda part: np.arange(part.start, part.stop))
    assert column.tolist() == list(range(count))
    assert all(part.stop - part.start <= rows for part in parts)


@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 99)), max_size=9)), SIZES)
def test_rows_lie_in_their_partition_in_the_order_in_which_they_came(batches, rows):
    partitions = Partitions(5, [np.int64, np.float32])
    for batch in batches:
        partition, value = np.array(batch, np.int64).reshape(-1, 2).T
        partitions.add(partition, value, value / 2)
    every_row = [row for batch in batches for row in batch]
    for number, (values, halves) in enumerate(partitions):
        expected = [value for partition, value in every_row if partition == number]
        assert values.tolist() == expected
        assert halves.tolist() == [value / 2 for value in expected]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spooled, "ROWS_PER_PART", rows)
            parts = [part for part, _ in partitions.read_parts(number)]
        assert [value for part in parts for value in part.tolist()] == expected


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1), st.integers(1, 6))
def test_partitions_hold_equal_numbers_together_and_bounds_keep_their_order(numbers, count):
    keys = np.array(numbers, np.int64)
    mixed = spread(keys, count)
    assert mixed.tolist() == spread(np.array(numbers, np.int32), count).tolist()
    assert 0 <= mixed.min() <= mixed.max() < count
    ordered = np.searchsorted(choose_bounds(keys, count), np.sort(keys), side="right")
    assert (np.diff(ordered) >= 0).all()
    assert ordered.max() < count


def test_a_file_has_no_name_and_a_full_disk_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    column = spool([range(1000)], 100)
    assert list(tmp_path.iterdir()) == []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))
    try:
        with pytest.raises(DiskFull, match=f"in {tmp_path}, .* TMPDIR"):
            column.extend(np.zeros(2**20, np.int32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(DiskFull, match="No such file"):
        spool([range(1000)], 100)
