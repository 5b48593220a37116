"""How queries are split into training, validation and test queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from nudge_sync.base.arrays import Float32, Int64, number_by_appearance
from nudge_sync.errors import InputError
from nudge_sync.evaluate import robustness
from nudge_sync.evaluate.robustness import MIN_QUERIES
from nudge_sync.evaluate.split import (
    MAX_PART_SIZE,
    TEST_PART,
    TRAIN_END,
    VALIDATION_END,
    QuerySplit,
    split_randomly,
    split_rows,
)
from nudge_sync.evaluate.task import EvaluationTask, RowNumbers, scale_to_unit

ProtocolName: TypeAlias = Literal[
    "random",
    "grouped",
    "out-of-distribution",
    "cold-documents",
    "leave-cluster-out",
    "time",
    "cold-start",
    "label-noise",
    "small-log",
    "document-frequency",
]
PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)
DEFAULT_PROTOCOLS: tuple[ProtocolName, ...] = ("random", "grouped", "out-of-distribution")
"""What runs where no protocol is named."""
ROBUSTNESS_PROTOCOLS: Mapping[ProtocolName, Callable[[EvaluationTask, int], list[QuerySplit]]] = {
    "cold-documents": robustness.split_by_cold_documents,
    "leave-cluster-out": robustness.split_by_left_out_cluster,
    "time": robustness.split_by_time,
    "cold-start": robustness.split_by_judgements_per_document,
    "label-noise": robustness.split_by_label_noise,
    "small-log": robustness.split_by_log_size,
    "document-frequency": robustness.split_by_document_frequency,
}
"""The protocols that compare methods with NUDGE-N too, and how each splits a task for a seed."""
SAME_CLUSTER_PART, OTHER_CLUSTER_PART = "same cluster", "other cluster"

PROTOCOL_DESCRIPTIONS: Mapping[ProtocolName, str] = {
    "random": (
        "Queries are permuted and split 70 / 10 / 20 into training, validation and test, the "
        "paper's protocol. The same question stays on one side; queries that share all their "
        "answers can fall on both."
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
    "cold-documents": (
        "What happens to documents without feedback? A random split in which 30 % of the judged "
        "documents lose every judgement in training (cold); a query's other answers leave the "
        "ranking where warm or cold ones are scored alone."
    ),
    "leave-cluster-out": (
        "What is gained on topics that nobody asked about? k-means puts the query vectors into k "
        "clusters; one is left out of training and only tests, the rest is split 70 / 10 / 20."
    ),
    "time": (
        "What do tomorrow's searches gain? The earliest 70 % of the queries train, the next 10 % "
        "validate, the latest test. There is one such split, whatever the seeds."
    ),
    "cold-start": (
        "How much feedback does a document need? A random split in which each document keeps at "
        "most 1, 3 or 10 training judgements."
    ),
    "label-noise": (
        "How wrong may feedback be? A random split in which 10 or 30 % of the answers that "
        "training and validation know are replaced by random judged documents."
    ),
    "small-log": (
        "How many queries does it take? A random split of whose training and validation queries "
        "only 20, 50 or 200 are known; an eighth of them validates."
    ),
    "document-frequency": (
        "Who gains, often or rarely judged documents? A random split, tested on answers by how "
        "many training queries judge them; a query's other answers leave the ranking."
    ),
}


def split_task(task: EvaluationTask, protocol: ProtocolName, seed: int) -> list[QuerySplit]:
    """Split the queries of `task` by a protocol, for a seed: one split for each condition.

    Raises InputError where there are too few queries to have one in every part.
    """
    if len(task.queries) < MIN_QUERIES:
        raise InputError(
            f"{task.name}: {len(task.queries)} judged queries; evaluation needs at least "
            f"{MIN_QUERIES}"
        )
    if protocol in ROBUSTNESS_PROTOCOLS:
        return ROBUSTNESS_PROTOCOLS[protocol](task, seed)
    questions = task.number_questions()
    if protocol == "random":
        return [split_randomly(questions, seed)]
    if protocol == "grouped":
        answers = task.list_answers(np.arange(len(task.queries)))
        return [split_by_answers(answers, questions, seed)]
    return [split_by_cluster(task.queries, questions, seed)]


def split_by_answers(answers: Sequence[Iterable[int]], questions: Int64, seed: int) -> QuerySplit:
    """Split into about 70 / 10 / 20 percent; the same answers, or question, are on one side.

    answers: for each query the documents that answer it.
    questions: (q,), the number of each query's question.
    Raises InputError where there are too few groups of such queries.
    """
    group = _join_groups(group_by_answers(answers), questions)
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


def _join_groups(group: RowNumbers, questions: Int64) -> RowNumbers:
    """Return groups, (q,), in which queries are together that share a group or a question."""
    question = number_by_appearance(questions) + int(group.max()) + 1
    count = int(question.max()) + 1
    edges = csr_matrix((np.ones(len(group)), (group, question)), shape=(count, count))
    joined = connected_components(edges, directed=False)[1]
    return number_by_appearance(joined[group].astype(np.int64))


def split_by_cluster(queries: Float32, questions: Int64, seed: int) -> QuerySplit:
    """Train and choose on one of two clusters of the queries, and test on each of them.

    queries: (q, d).  questions: (q,), the number of each query's question.
    Even seeds train on the larger cluster, odd seeds on the smaller one.
    Raises InputError where the smaller cluster cannot be split.
    """
    rng = np.random.default_rng(seed)
    _, label = kmeans2(scale_to_unit(queries).astype(np.float64), 2, minit="++", rng=rng)
    sizes = np.bincount(label, minlength=2)
    if sizes.min() < MIN_QUERIES:
        raise InputError(
            f"the smaller of two clusters of queries has {sizes.min()}, which is too few for an "
            "out-of-distribution split"
        )
    larger = int(np.argmax(sizes))
    train_cluster = larger if seed % 2 == 0 else 1 - larger
    inner_split = split_rows(np.flatnonzero(label == train_cluster), questions, rng)
    outer_rows = rng.permutation(np.flatnonzero(label != train_cluster))[:MAX_PART_SIZE]
    return QuerySplit(
        inner_split.train,
        inner_split.validation,
        {SAME_CLUSTER_PART: inner_split.tests[TEST_PART], OTHER_CLUSTER_PART: outer_rows},
    )
