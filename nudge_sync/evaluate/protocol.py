"""How queries are split into training, validation and test queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from scipy.cluster.vq import kmeans2

from nudge_sync.base.arrays import Float32
from nudge_sync.errors import InputError
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers, scale_to_unit

ProtocolName: TypeAlias = Literal["random", "grouped", "out-of-distribution"]
PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)
TEST_PART = "test"
SAME_CLUSTER_PART, OTHER_CLUSTER_PART = "same cluster", "other cluster"
TRAIN_END, VALIDATION_END = 0.7, 0.8
MAX_PART_SIZE = 10_000
"""The most validation queries, and the most test queries, as in the paper; the rest is unused."""
_MIN_QUERIES = 10

PROTOCOL_DESCRIPTIONS: Mapping[ProtocolName, str] = {
    "random": (
        "Queries are permuted and split 70 / 10 / 20 into training, validation and test, the "
        "paper's protocol. Queries that share all their answers can fall on both sides."
    ),
    "grouped": (
        "As the random split, but queries with identical sets of answers stay together, so no "
        "test query has a twin that was trained on."
    ),
    "out-of-distribution": (
        "k-means puts the query vectors into two clusters. One is split 70 / 10 / 20; its test "
        "part is the same cluster, all queries of the second are the other cluster. Even seeds "
        "train on the larger cluster, odd seeds on the smaller one."
    ),
}


@dataclass(frozen=True, slots=True)
class QuerySplit:
    """Query rows by what they are used for; no row is in two parts."""

    train: RowNumbers
    validation: RowNumbers
    tests: Mapping[str, RowNumbers]
    """By name: one part, or two where the split is out of distribution."""


def split_task(task: EvaluationTask, protocol: ProtocolName, seed: int) -> QuerySplit:
    """Split the queries of `task` by a protocol, for a seed.

    Raises InputError where there are too few queries to have one in every part.
    """
    if len(task.queries) < _MIN_QUERIES:
        raise InputError(
            f"{task.name}: {len(task.queries)} judged queries; evaluation needs at least "
            f"{_MIN_QUERIES}"
        )
    if protocol == "random":
        return split_randomly(len(task.queries), seed)
    if protocol == "grouped":
        return split_by_answers(task.list_answers(np.arange(len(task.queries))), seed)
    return split_by_cluster(task.queries, seed)


def split_randomly(query_count: int, seed: int) -> QuerySplit:
    """Split a permutation by `numpy.random.default_rng(seed)` into 70 / 10 / 20 percent."""
    return _cut_parts(np.random.default_rng(seed).permutation(query_count))


def split_by_answers(answers: Sequence[Iterable[int]], seed: int) -> QuerySplit:
    """Split into about 70 / 10 / 20 percent, and keep queries with the same answers together.

    answers: for each query the documents that answer it.
    Raises InputError where there are too few groups of such queries.
    """
    group = group_by_answers(answers)
    order = np.random.default_rng(seed).permutation(int(group.max()) + 1)
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    rows = np.argsort(position[group], kind="stable")
    # A group belongs to the part that its middle query falls into.
    sizes = np.bincount(position[group])
    middle = (np.cumsum(sizes) - sizes / 2) / len(rows)
    part = np.searchsorted([TRAIN_END, VALIDATION_END], middle, side="right")
    counts = [int(sizes[part == number].sum()) for number in range(3)]
    if 0 in counts:
        raise InputError(
            f"{int(group.max()) + 1} groups of queries with different answers are too few for "
            "a grouped split"
        )
    train, validation, test = np.split(rows, np.cumsum(counts)[:2])
    return QuerySplit(train, validation[:MAX_PART_SIZE], {TEST_PART: test[:MAX_PART_SIZE]})


def group_by_answers(answers: Sequence[Iterable[int]]) -> RowNumbers:
    """Return a number for each query, (q,), equal where exactly the same documents answer."""
    numbers: dict[frozenset[int], int] = {}
    return np.array(
        [numbers.setdefault(frozenset(documents), len(numbers)) for documents in answers],
        dtype=np.intp,
    )


def split_by_cluster(queries: Float32, seed: int) -> QuerySplit:
    """Train and choose on one of two clusters of the queries, and test on each of them.

    queries: (q, d). Even seeds train on the larger cluster, odd seeds on the smaller one.
    Raises InputError where the smaller cluster cannot be split.
    """
    rng = np.random.default_rng(seed)
    _, label = kmeans2(scale_to_unit(queries).astype(np.float64), 2, minit="++", rng=rng)
    sizes = np.bincount(label, minlength=2)
    if sizes.min() < _MIN_QUERIES:
        raise InputError(
            f"the smaller of two clusters of queries has {sizes.min()}, which is too few for an "
            "out-of-distribution split"
        )
    larger = int(np.argmax(sizes))
    train_cluster = larger if seed % 2 == 0 else 1 - larger
    inner_split = _cut_parts(rng.permutation(np.flatnonzero(label == train_cluster)))
    outer_rows = rng.permutation(np.flatnonzero(label != train_cluster))[:MAX_PART_SIZE]
    return QuerySplit(
        inner_split.train,
        inner_split.validation,
        {SAME_CLUSTER_PART: inner_split.tests[TEST_PART], OTHER_CLUSTER_PART: outer_rows},
    )


def _cut_parts(order: RowNumbers) -> QuerySplit:
    """Cut into the first 70 %, the next 10 % and the rest."""
    train = int(TRAIN_END * len(order))
    validation = int(VALIDATION_END * len(order))
    return QuerySplit(
        order[:train],
        order[train:validation][:MAX_PART_SIZE],
        {TEST_PART: order[validation:][:MAX_PART_SIZE]},
    )
