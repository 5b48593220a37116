"""Queries, and what is known of them, split into what methods learn from and what tests them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Int64, number_by_appearance
from nudge_sync.errors import InputError
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


def split_randomly(questions: Int64, seed: int) -> QuerySplit:
    """Split a permutation by `numpy.random.default_rng(seed)` into 70 / 10 / 20 percent.

    questions: (q,), the number of each query's question. Queries of one question stay together, and
    the shares are those of the questions. Raises InputError where there are too few of them.
    """
    rng = np.random.default_rng(seed)
    return split_rows(np.arange(len(questions)), questions, rng)


def split_rows(rows: RowNumbers, questions: Int64, rng: np.random.Generator) -> QuerySplit:
    """Split some of the queries as `split_randomly` does.  questions: (q,), of all queries."""
    group = number_by_appearance(questions[rows])
    order = rng.permutation(int(group.max()) + 1)
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    ends = np.append(0, np.cumsum(np.bincount(group)[order]))
    train, validation = (int(share * len(order)) for share in (TRAIN_END, VALIDATION_END))
    if not 0 < train < validation < len(order):
        raise InputError(f"{len(order)} different questions are too few to be split")
    in_order = rows[np.argsort(position[group], kind="stable")]
    return _cut(in_order, int(ends[train]), int(ends[validation]))


def cut_parts(order: RowNumbers) -> QuerySplit:
    """Cut into the first 70 %, the next 10 % and the rest."""
    return _cut(order, int(TRAIN_END * len(order)), int(VALIDATION_END * len(order)))


def _cut(order: RowNumbers, train: int, validation: int) -> QuerySplit:
    return QuerySplit(
        order[:train],
        order[train:validation][:MAX_PART_SIZE],
        {TEST_PART: order[validation:][:MAX_PART_SIZE]},
    )
