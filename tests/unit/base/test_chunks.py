"""Chunks cover every row once, in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.base.chunks import ROWS_PER_CHUNK, list_chunks


@given(st.integers(0, 500), st.integers(1, 60))
def test_chunks_cover_every_row_once_and_only_the_last_is_shorter(count, size):
    chunks = list_chunks(count, size)

    rows = list(range(count))
    assert [row for chunk in chunks for row in rows[chunk]] == rows
    assert all(chunk.stop - chunk.start == size for chunk in chunks[:-1])


def test_a_few_rows_are_one_chunk_unless_another_size_is_asked_for():
    assert list_chunks(ROWS_PER_CHUNK) == [slice(0, ROWS_PER_CHUNK)]
    assert list_chunks(0) == []
