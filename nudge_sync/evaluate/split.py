"""Queries, and what is known of them, split into what methods learn from and what tests them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nudge_sync.evaluate.task import EvaluationTask, RowNumbers

TEST_PART = "test"
TRAIN_END, VALIDATION_END = 0.7, 0.8
MAX_PART_SIZE = 10_000
"""The most validation queries, and the most test queries, as in the paper; the rest is unused."""


@dataclass(frozen=True, slots=True)
class QuerySplit:
    """Query rows by what they are used for; no row is in two of training, validation and tests."""

    train: RowNumbers
    validation: RowNumbers
    tests: Mapping[str, RowNumbers]
    """By name: the queries of one or more test parts. Parts may share queries where they differ in
    the answers that count."""
    condition: str = ""
    """What sets this split apart from the others of its protocol and seed; "" where it is alone."""
    task: EvaluationTask | None = None
    """What methods learn from: the task with other judgements and weights. None: as it is."""
    counted: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Test part -> the documents, (n,), whose answers count in it; a query's other answers leave
    its ranking. A part that is not listed counts every answer."""


def split_randomly(query_count: int, seed: int) -> QuerySplit:
    """Split a permutation by `numpy.random.default_rng(seed)` into 70 / 10 / 20 percent."""
    return cut_parts(np.random.default_rng(seed).permutation(query_count))


def cut_parts(order: RowNumbers) -> QuerySplit:
    """Cut into the first 70 %, the next 10 % and the rest."""
    train = int(TRAIN_END * len(order))
    validation = int(VALIDATION_END * len(order))
    return QuerySplit(
        order[:train],
        order[train:validation][:MAX_PART_SIZE],
        {TEST_PART: order[validation:][:MAX_PART_SIZE]},
    )
