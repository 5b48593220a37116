"""Merged blocks hold what one block of all their records holds."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.connector import Record
from nudge_sync.feedback.blocks import merge
from nudge_sync.feedback.blocks.codec import decode_block, encode_block
from nudge_sync.feedback.blocks.columns import EventBlockBuilder, SearchBlockBuilder
from nudge_sync.feedback.blocks.merge import merge_blocks, merge_small_blocks

NAMES = st.sampled_from(["a", "ä", "\ud800", "", "long" * 9])
POINTS = st.one_of(st.integers(0, 9), st.sampled_from(["1", 2**70, -1]))
EVENTS = st.fixed_dictionaries(
    {"query_id": st.one_of(NAMES, st.just(7)), "action_name": NAMES, "object_id": POINTS},
    optional={"session_id": NAMES, "position": st.integers(1, 9), "grade": st.floats(-1, 1)},
)
SEARCHES = st.one_of(
    st.fixed_dictionaries(
        {"vector_digest": NAMES, "shown": st.lists(POINTS, max_size=3, unique=True)},
        optional={"client_id": NAMES, "space": st.integers(0, 3)},
    ),
    st.just({"vector_digest": "a", "shown": [1, 2], "propensities": [0.5, 1.0]}),
)


def build(kind: str, documents: list[dict[str, Any]], first: int = 0) -> Any:
    builder = EventBlockBuilder() if kind == "events" else SearchBlockBuilder()
    records = [Record(f"q{row}", document) for row, document in enumerate(documents, first)]
    builder.add(records)
    return builder.build()


def list_values(block: Any) -> dict[str, Any]:
    """Return what the rows stand for, whatever the order of the lists is."""
    values: dict[str, Any] = {}
    for field in fields(block):
        value = getattr(block, field.name)
        if field.name in block.LISTS:
            distinct = list(getattr(block, block.LISTS[field.name]))
            values[field.name] = [distinct[row] for row in value.tolist()]
        elif field.name not in block.LISTS.values():
            values[field.name] = value.tobytes() if isinstance(value, np.ndarray) else value
    if "query_ids" not in block.LISTS.values():
        values["query_ids"] = list(block.query_ids)
    return values


@pytest.mark.parametrize(("kind", "documents"), [("events", EVENTS), ("searches", SEARCHES)])
@given(data=st.data())
def test_blocks_of_parts_are_the_block_of_all(kind, documents, data):
    listed = data.draw(st.lists(documents, min_size=1, max_size=12))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(listed)), max_size=4)) | {0, len(listed)})
    parts = [build(kind, listed[low:high], low) for low, high in pairwise(cuts)]
    merged = merge_blocks(parts)
    assert list_values(merged) == list_values(build(kind, listed))
    assert list_values(decode_block(type(merged), encode_block(merged))) == list_values(merged)


def test_large_blocks_stay_apart(monkeypatch):
    monkeypatch.setattr(merge, "_MERGED_RECORDS", 4)
    event = {"query_id": "a", "action_name": "click", "object_id": 1}
    sizes = [1, 2, 3, 5, 1]
    blocks = [build("events", [event] * size) for size in sizes]
    assert list(map(len, merge_small_blocks(blocks))) == [6, 5, 1]
    assert list(merge_small_blocks([])) == []
