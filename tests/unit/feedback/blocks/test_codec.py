"""A block comes back from its bytes as it was, and from no others."""

from __future__ import annotations

import zlib
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.connector import Record
from nudge_sync.feedback.blocks.codec import decode_block, encode_block
from nudge_sync.feedback.blocks.columns import (
    EventBlock,
    EventBlockBuilder,
    SearchBlock,
    SearchBlockBuilder,
)
from nudge_sync.feedback.log.strings import PackedStrings

EVENTS = [
    {"query_id": "ä\ud800", "action_name": "click", "object_id": 2**70, "grade": -0.0},
    {"query_id": "b", "action_name": "\x00", "object_id": "1", "position": 3, "timestamp": 1.5},
    {"query_id": "b", "action_name": "click", "object_id": 1, "timestamp": 10**9, "grade": 2},
    {"query_id": "b", "action_name": "click", "object_id": -1, "session_id": "s"},
    {"query_id": 7},
]
SEARCHES = [
    {"shown": [1, "1", 2**70], "propensities": [1, 0.1, 1e-9], "vector_digest": "a", "space": 2},
    {"shown": None, "vector_digest": "b", "space": -(2**80), "timestamp": 1.25},
    {"shown": [2, 1], "vector_digest": "a", "space": "2", "client_id": "\udfff"},
]


def build_events() -> EventBlock:
    builder = EventBlockBuilder()
    builder.add([Record(str(row), document) for row, document in enumerate(EVENTS)])
    return builder.build()


def build_searches() -> SearchBlock:
    builder = SearchBlockBuilder()
    builder.add([Record(f"q{row}", document) for row, document in enumerate(SEARCHES)])
    block = builder.build()
    assert block is not None
    return block


@pytest.mark.parametrize("block", [build_events(), build_searches()], ids=["events", "searches"])
def test_a_block_comes_back_bit_for_bit(block):
    again = decode_block(type(block), encode_block(block))
    for field in fields(block):
        value, read = getattr(block, field.name), getattr(again, field.name)
        if isinstance(value, np.ndarray):
            assert (value.dtype, value.tobytes()) == (read.dtype, read.tobytes())
        elif isinstance(value, PackedStrings):
            assert list(value) == list(read)
        else:
            assert value == read
            assert not isinstance(value, list) or [*map(type, value)] == [*map(type, read)]
    assert len(again) == len(block)


@pytest.mark.parametrize("limit", [2**7, 2**15, 2**31])
def test_numbers_take_as_few_bytes_as_they_need(limit):
    builder = EventBlockBuilder()
    ids = [limit - 1, 0, *range(50)]
    builder.add([Record(str(id_), {**EVENTS[2], "object_id": id_}) for id_ in ids])
    block = builder.build()
    assert isinstance(block.point_ids, np.ndarray)
    again = decode_block(EventBlock, encode_block(block))
    assert (again.point_ids.dtype, again.point_ids.tolist()) == (np.int64, block.point_ids.tolist())
    larger = replace(block, point_ids=block.point_ids + np.int64(1))
    sizes = [len(zlib.decompress(encode_block(each))) for each in (block, larger)]
    assert sizes[1] > sizes[0]


def test_sizes_that_do_not_fit_their_text_are_refused():
    data = zlib.decompress(encode_block(build_events()))
    damaged = data.replace(b'"query_ids.sizes","|i1","<i4",2', b'"query_ids.sizes","|i1","<i4",1')
    assert damaged != data
    with pytest.raises(ValueError, match="do not fit"):
        decode_block(EventBlock, zlib.compress(damaged))


def test_what_is_no_event_is_counted():
    block = build_events()
    assert (len(block), block.unreadable_records) == (5, 1)


@pytest.mark.parametrize(
    "document", [{"shown": [True], "vector_digest": "a"}, {"shown": [1]}, {"vector_digest": 7}]
)
def test_searches_of_which_only_their_records_tell_are_no_block(document):
    builder = SearchBlockBuilder()
    builder.add([Record("q", document)])
    assert builder.build() is None


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=4))
def test_other_bytes_are_refused_or_give_a_block(where, patch):
    data = bytearray(encode_block(build_events()))
    start = where % len(data)
    data[start : start + len(patch)] = patch
    try:
        block = decode_block(EventBlock, bytes(data))
    except ValueError:
        return
    assert isinstance(block, EventBlock)


def test_a_row_beyond_its_list_is_refused():
    block = build_events()
    block.query[0] = 99
    with pytest.raises(ValueError, match="beyond"):
        decode_block(EventBlock, encode_block(block))
