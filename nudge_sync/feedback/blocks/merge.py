"""Blocks of several days as one, so that what millions are searched for is searched for at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from nudge_sync.feedback.blocks.columns import EventBlock, SearchBlock
from nudge_sync.feedback.log.strings import PackedStrings

_MERGED_RECORDS = 2**17
"""How many records merged blocks have, or one block more."""
_Block = TypeVar("_Block", EventBlock, SearchBlock)


def merge_small_blocks(blocks: Iterable[_Block]) -> Iterator[_Block]:
    """Yield blocks that together hold what these do, in their order, fewer and larger."""
    pending: list[_Block] = []
    records = 0
    for block in blocks:
        pending.append(block)
        records += len(block)
        if records >= _MERGED_RECORDS:
            yield merge_blocks(pending)
            pending, records = [], 0
    if pending:
        yield merge_blocks(pending)


def merge_blocks(blocks: Sequence[_Block]) -> _Block:
    """Return the blocks of one kind as one; values that several of them list are listed again."""
    kind = type(blocks[0])
    if len(blocks) == 1:
        return blocks[0]
    merged: dict[str, Any] = {}
    for field in fields(kind):
        parts = [getattr(block, field.name) for block in blocks]
        if field.name in kind.LISTS:
            lists = [getattr(block, kind.LISTS[field.name]) for block in blocks]
            ends = np.cumsum([len(values) for values in lists], dtype=np.int32)
            parts = [
                rows + np.int32(end - len(values))
                for rows, values, end in zip(parts, lists, ends, strict=True)
            ]
        elif field.name == "propensities":
            parts = _fill_propensities(blocks, parts)
        merged[field.name] = _concatenate(parts)
    return kind(**merged)


def _fill_propensities(blocks: Sequence[Any], parts: list[Any]) -> list[Any]:
    """Return NaN for what was shown in blocks that logged none, if any of them logged some."""
    if not any(map(len, parts)):
        return parts
    return [
        part if len(part) else np.full(len(block.shown), np.nan, np.float32)
        for block, part in zip(blocks, parts, strict=True)
    ]


def _concatenate(parts: list[Any]) -> Any:
    if all(isinstance(part, PackedStrings) for part in parts):
        return PackedStrings.concatenate(parts)
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    if all(isinstance(part, int) for part in parts):
        return sum(parts)
    # Point ids of one block may be an array, and those of another a list.
    listed = (part.tolist() if isinstance(part, np.ndarray) else part for part in parts)
    return list(chain.from_iterable(listed))
