"""How queries are split into those that teach, those that choose and those that only tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from scipy.cluster.vq import kmeans2

from nudge_sync.errors import InputError
from nudge_sync.evaluate.task import Float32, Grades, Rows, Task, unit

ProtocolName: TypeAlias = Literal["random", "grouped", "out-of-distribution"]
PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)
TEST = "test"
SAME, OTHER = "same cluster", "other cluster"
TRAIN_END, VALIDATION_END = 0.7, 0.8
MOST_HELD_OUT = 10_000
"""Of validation and of test queries each, as in the paper; the rest is set aside."""
_SMALLEST = 10

SENTENCES: Mapping[ProtocolName, str] = {
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
class Split:
    """Disjoint query rows."""

    train: Rows
    validation: Rows
    tests: Mapping[str, Rows]
    """By name: one part in distribution, two out of distribution."""


def split(task: Task, protocol: ProtocolName, seed: int) -> Split:
    """The split of `task` for a seed.

    Raises InputError where there are too few queries to have one in every part.
    """
    if len(task.queries) < _SMALLEST:
        raise InputError(
            f"{task.name}: {len(task.queries)} judged queries; evaluation needs at least "
            f"{_SMALLEST}"
        )
    if protocol == "random":
        return random_split(len(task.queries), seed)
    if protocol == "grouped":
        return grouped_split(task.judgements, seed)
    return cluster_split(task.queries, seed)


def random_split(queries: int, seed: int) -> Split:
    """70 / 10 / 20 of a permutation by `numpy.random.default_rng(seed)`."""
    return _cut(np.random.default_rng(seed).permutation(queries))


def grouped_split(judgements: Sequence[Grades], seed: int) -> Split:
    """The same shares, nearly, of whole groups of queries that have the same answers.

    Raises InputError where there are too few groups.
    """
    group = groups(judgements)
    order = np.random.default_rng(seed).permutation(int(group.max()) + 1)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    rows = np.argsort(place[group], kind="stable")
    # A group belongs to the part that its middle query falls into.
    sizes = np.bincount(place[group])
    middle = (np.cumsum(sizes) - sizes / 2) / len(rows)
    part = np.searchsorted([TRAIN_END, VALIDATION_END], middle, side="right")
    counts = [int(sizes[part == number].sum()) for number in range(3)]
    if 0 in counts:
        raise InputError(
            f"{int(group.max()) + 1} groups of queries with different answers are too few for "
            "a grouped split"
        )
    train, validation, test = np.split(rows, np.cumsum(counts)[:2])
    return Split(train, validation[:MOST_HELD_OUT], {TEST: test[:MOST_HELD_OUT]})


def groups(judgements: Sequence[Grades]) -> Rows:
    """A number per query, the same for two queries exactly when the same documents answer them."""
    numbers: dict[frozenset[int], int] = {}
    return np.array(
        [
            numbers.setdefault(
                frozenset(row for row, grade in grades.items() if grade > 0), len(numbers)
            )
            for grades in judgements
        ],
        dtype=np.intp,
    )


def cluster_split(queries: Float32, seed: int) -> Split:
    """Training, validation and a test part from one cluster of the queries, a test part from both.

    Raises InputError where the smaller cluster cannot be split.
    """
    rng = np.random.default_rng(seed)
    _, label = kmeans2(unit(queries).astype(np.float64), 2, minit="++", rng=rng)
    sizes = np.bincount(label, minlength=2)
    if sizes.min() < _SMALLEST:
        raise InputError(
            f"the smaller of two clusters of queries has {sizes.min()}, which is too few for an "
            "out-of-distribution split"
        )
    larger = int(np.argmax(sizes))
    trained = larger if seed % 2 == 0 else 1 - larger
    inside = _cut(rng.permutation(np.flatnonzero(label == trained)))
    outside = rng.permutation(np.flatnonzero(label != trained))[:MOST_HELD_OUT]
    return Split(inside.train, inside.validation, {SAME: inside.tests[TEST], OTHER: outside})


def _cut(order: Rows) -> Split:
    """The first 70 %, the next 10 %, and the rest."""
    train = int(TRAIN_END * len(order))
    validation = int(VALIDATION_END * len(order))
    return Split(
        order[:train],
        order[train:validation][:MOST_HELD_OUT],
        {TEST: order[validation:][:MOST_HELD_OUT]},
    )
