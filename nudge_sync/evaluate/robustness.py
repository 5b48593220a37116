"""Splits that ask what a random split cannot: how gains hold where feedback is thin, old or wrong.

Each function returns one split for each condition, such as each share of wrong labels. Only what
methods learn from changes; the queries that test and their judgements stay as they are.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from nudge_sync.base.arrays import Int64
from nudge_sync.base.text.percent import format_exact_percent
from nudge_sync.errors import InputError
from nudge_sync.evaluate.split import (
    MAX_PART_SIZE,
    TEST_PART,
    QuerySplit,
    cut_parts,
    split_randomly,
    split_rows,
)
from nudge_sync.evaluate.task import EvaluationTask, Grades, RowNumbers, scale_to_unit
from nudge_sync.solve.selection.document_folds import SUGGESTED_COLD_SHARE

MIN_QUERIES = 10
"""Fewest queries that a split is made of, and fewest of a cluster that is left out."""
HIDDEN_SHARE = 0.3
"""Share of the judged documents that lose every judgement."""
CLUSTER_COUNTS = (2, 5, 10)
JUDGEMENT_LIMITS = (1, 3, 10)
"""Most training judgements of a document."""
NOISE_SHARES = (0.1, 0.3)
"""Share of the labels that are wrong."""
LOG_SIZES = (20, 50, 200)
"""Number of queries to learn from."""
FREQUENCY_BANDS = (
    ("never judged", 0, 0),
    ("1 or 2 times", 1, 2),
    ("3 to 9 times", 3, 9),
    ("10 or more", 10, None),
)
"""Name, fewest and most training judgements of a document."""
_VALIDATION_SHARE = 0.125
_CONDITION_STREAM = 1
"""Tells draws of a condition apart from those of the split, which have the same seed."""


def split_by_cold_documents(task: EvaluationTask, seed: int) -> list[QuerySplit]:
    """Hide every judgement of some documents, and test on all, on warm and on cold answers.

    Where nothing is said of cold documents, they count in the choice as in a collection of which
    nothing is known: with `SUGGESTED_COLD_SHARE`. Raises InputError where nothing is left to learn.
    """
    split = split_randomly(task.number_questions(), seed)
    judged = _list_judged_documents(task)
    hidden = np.zeros(len(task.documents), np.bool_)
    hidden[_draw(seed).choice(judged, int(HIDDEN_SHARE * len(judged)), replace=False)] = True
    share = SUGGESTED_COLD_SHARE if task.cold_share is None else task.cold_share
    shown = replace(
        _change_judgements(
            task, lambda _, grades: {d: grade for d, grade in grades.items() if not hidden[d]}
        ),
        cold_share=share,
    )
    counted = {"warm answers": ~hidden, "cold answers": hidden}
    test = split.tests[TEST_PART]
    tests = {"all answers": test} | {
        name: _keep_counted(task, test, documents) for name, documents in counted.items()
    }
    return [_learn_from(shown, replace(split, tests=tests, counted=counted))]


def split_by_left_out_cluster(task: EvaluationTask, seed: int) -> list[QuerySplit]:
    """Leave one of k clusters of the queries out of training, for each of `CLUSTER_COUNTS`.

    Seeds take turns by size, largest first; a cluster of fewer than `MIN_QUERIES` is never left
    out. Raises InputError where no clustering has one that can be.
    """
    vectors = scale_to_unit(task.queries).astype(np.float64)
    questions = task.number_questions()
    splits = []
    for count in CLUSTER_COUNTS:
        rng = np.random.default_rng(seed)
        label = _cluster(vectors, count, rng)
        sizes = np.bincount(label, minlength=count)
        usable = (sizes >= MIN_QUERIES) & (len(label) - sizes >= MIN_QUERIES)
        candidates = [int(one) for one in np.argsort(-sizes, kind="stable") if usable[one]]
        if not candidates:
            continue
        left_out = label == candidates[seed % len(candidates)]
        rest = split_rows(np.flatnonzero(~left_out), questions, rng)
        tests = {
            f"k={count}, trained": rest.tests[TEST_PART],
            f"k={count}, left out": rng.permutation(np.flatnonzero(left_out))[:MAX_PART_SIZE],
        }
        splits.append(replace(rest, tests=tests, condition=f"k={count}"))
    if not splits:
        raise InputError("no cluster of queries is large enough to be left out")
    return splits


def _cluster(vectors: NDArray[np.float64], count: int, rng: np.random.Generator) -> Int64:
    with warnings.catch_warnings():
        # Of queries that are all alike some clusters stay empty, which does no harm.
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(kmeans2(vectors, count, minit="++", rng=rng)[1], np.int64)


def split_by_time(task: EvaluationTask, seed: int) -> list[QuerySplit]:
    """Learn from the earliest 70 %, choose on the next 10 %, and test on the latest queries.

    Raises InputError where fewer than `MIN_QUERIES` queries have a time.
    """
    del seed
    times = np.zeros(0) if task.query_times is None else task.query_times
    dated = np.flatnonzero(times > 0)
    if len(dated) < MIN_QUERIES:
        raise InputError(
            f"{len(dated)} queries have a time, and a split by time needs {MIN_QUERIES}: log "
            "searches with their timestamp, or put one a line into times.txt beside queries.npy"
        )
    split = cut_parts(dated[np.argsort(times[dated], kind="stable")])
    return [replace(split, tests={"latest queries": split.tests[TEST_PART]})]


def split_by_judgements_per_document(task: EvaluationTask, seed: int) -> list[QuerySplit]:
    """Keep at most so many training judgements of each document, for each of `JUDGEMENT_LIMITS`.

    Which ones is drawn. The validation queries keep all of theirs.
    """
    split = split_randomly(task.number_questions(), seed)
    test = split.tests[TEST_PART]
    splits = []
    for limit in JUDGEMENT_LIMITS:
        kept = _keep_few_judgements(task, _draw(seed).permutation(split.train), limit)
        thin = _change_judgements(task, partial(_look_up, kept))
        name = f"{limit} a document"
        splits.append(_learn_from(thin, replace(split, tests={name: test}, condition=name)))
    return splits


def _look_up(kept: Mapping[int, Grades], row: int, grades: Grades) -> Grades:
    return kept.get(row, grades)


def _keep_few_judgements(
    task: EvaluationTask, rows: RowNumbers, limit: int
) -> dict[int, dict[int, float]]:
    """Return the judgements that are left of each of the queries `rows`, first come first kept."""
    counts: Counter[int] = Counter()
    kept: dict[int, dict[int, float]] = {}
    for row in rows.tolist():
        grades = task.judgements[row]
        kept[row] = {d: grade for d, grade in grades.items() if counts[d] < limit}
        counts.update(kept[row])
    return kept


def split_by_label_noise(task: EvaluationTask, seed: int) -> list[QuerySplit]:
    """Move a share of the answers to other judged documents, for each of `NOISE_SHARES`.

    Training and validation queries have wrong labels alike: they come from one log. Which answers,
    and where to, is drawn uniformly.
    """
    split = split_randomly(task.number_questions(), seed)
    test, judged = split.tests[TEST_PART], _list_judged_documents(task)
    splits = []
    for share in NOISE_SHARES:
        rng = _draw(seed)
        moved = {
            row: {
                document: int(rng.choice(judged))
                for document, grade in task.judgements[row].items()
                if grade > 0 and rng.random() < share
            }
            for row in np.concatenate([split.train, split.validation]).tolist()
        }
        noisy = _move_judgements(task, moved)
        name = f"{format_exact_percent(share)} wrong"
        splits.append(_learn_from(noisy, replace(split, tests={name: test}, condition=name)))
    return splits


def _move_judgements(
    task: EvaluationTask, moved: Mapping[int, Mapping[int, int]]
) -> EvaluationTask:
    """Return the task with judgements moved to other documents.

    moved: query row -> document -> the document that has its judgement instead.
    """

    def move(row: int, grades: Grades) -> dict[int, float]:
        new_places = moved.get(row, {})
        return {new_places.get(document, document): grade for document, grade in grades.items()}

    weights = None if task.weights is None else _map_rows(task.weights, move)
    return replace(task, judgements=_map_rows(task.judgements, move), weights=weights)


def split_by_log_size(task: EvaluationTask, seed: int) -> list[QuerySplit]:
    """Learn from few queries, an eighth of which choose, for each of `LOG_SIZES` that there are.

    Raises InputError where the task has no more queries to learn from than the smallest.
    """
    split = split_randomly(task.number_questions(), seed)
    rows = _draw(seed).permutation(np.concatenate([split.train, split.validation]))
    sizes = [size for size in LOG_SIZES if size <= len(rows)]
    if not sizes:
        raise InputError(f"{len(rows)} queries to learn from are fewer than {LOG_SIZES[0]}")
    test = split.tests[TEST_PART]
    return [
        QuerySplit(
            rows[int(_VALIDATION_SHARE * size) : size],
            rows[: int(_VALIDATION_SHARE * size)],
            {f"{size} queries": test},
            f"{size} queries",
        )
        for size in sizes
    ]


def split_by_document_frequency(task: EvaluationTask, seed: int) -> list[QuerySplit]:
    """Split at random, and test on answers by how many training queries each document answers."""
    split = split_randomly(task.number_questions(), seed)
    counts = np.zeros(len(task.documents), np.int64)
    for documents in task.list_attracted(split.train):
        counts[documents] += 1
    counted = {
        name: (counts >= low) & (True if high is None else counts <= high)
        for name, low, high in FREQUENCY_BANDS
    }
    test = split.tests[TEST_PART]
    tests = {name: _keep_counted(task, test, documents) for name, documents in counted.items()}
    return [
        replace(split, tests={n: rows for n, rows in tests.items() if len(rows)}, counted=counted)
    ]


def _draw(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, _CONDITION_STREAM])


def _list_judged_documents(task: EvaluationTask) -> RowNumbers:
    """Return the documents that answer any query, ascending."""
    answers = task.list_answers(np.arange(len(task.queries)))
    return np.array(sorted(set().union(*answers)), np.intp)


def _keep_counted(
    task: EvaluationTask, rows: RowNumbers, documents: NDArray[np.bool_]
) -> RowNumbers:
    """Return those of the queries `rows` that any of the `documents`, (n,), answers."""
    kept = [
        any(documents[d] for d, grade in task.judgements[row].items() if grade > 0) for row in rows
    ]
    return rows[np.array(kept, np.bool_)]


def _change_judgements(
    task: EvaluationTask, change: Callable[[int, Grades], Grades]
) -> EvaluationTask:
    """Return the task with only the judgements that `change(row, grades)` returns for each query.

    Weights of other documents are dropped with them.
    """
    judgements = _map_rows(task.judgements, change)
    weights = task.weights and [
        {d: weight for d, weight in row.items() if d in grades}
        for row, grades in zip(task.weights, judgements, strict=True)
    ]
    return replace(task, judgements=judgements, weights=weights)


def _map_rows(rows: Iterable[Grades], change: Callable[[int, Grades], Grades]) -> list[Grades]:
    return [change(number, grades) for number, grades in enumerate(rows)]


def _learn_from(task: EvaluationTask, split: QuerySplit) -> QuerySplit:
    """Return the split with `task` to learn from, without queries that have no answer left.

    Test parts without a query are left out. Raises InputError where nothing is left to learn.
    """
    train, validation = (
        rows[np.array([bool(answers) for answers in task.list_attracted(rows)], np.bool_)]
        for rows in (split.train, split.validation)
    )
    if not len(train) or not len(validation):
        raise InputError("too few queries keep an answer to learn from")
    tests = {name: rows for name, rows in split.tests.items() if len(rows)}
    return replace(split, train=train, validation=validation, tests=tests, task=task)
