"""Fine-tuning without a database: documents and judged queries in, moved documents out."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from nudge_sync import metrics
from nudge_sync.base.threads import limit_threads, map_in_threads
from nudge_sync.errors import InputError
from nudge_sync.solve.fit import MAX_ANGLE, checked, choose_and_learn
from nudge_sync.solve.line_search.paths import chunks
from nudge_sync.solve.problem import PARTS, Choice, Float32, Method, Queries, Rows, Similarity
from nudge_sync.solve.relevance import answered
from nudge_sync.solve.task import ENOUGH, Split, splits
from nudge_sync.solve.topk import Best, best
from nudge_sync.tuning.explain import Explanation, explain
from nudge_sync.tuning.inputs import (
    Candidates,
    document_rows,
    judged_rows,
    narrow,
    pull_weights,
    unit_queries,
    unjudged_scores,
)
from nudge_sync.tuning.qrels import Relevant, matrix


@dataclass(frozen=True)
class Fit:
    """Where the documents go."""

    original: NDArray[np.floating]
    """(n, d): the documents handed in."""
    moved: Rows
    """The rows that changed, ascending."""
    vectors: Float32
    """(moved, d): the new vectors of those rows."""
    method: str
    """"nothing", "nudge-n", "nudge-m" or "nudge-c"."""
    parameters: dict[str, Any]
    """The settings chosen."""
    scores: dict[str, float]
    """The validation metric of each candidate."""
    reasons: list[str]
    """Sentences: how many queries counted, and why this method and these settings."""
    _queries: Float32 = field(repr=False)
    _relevance: csr_matrix = field(repr=False)
    _judged: Rows = field(repr=False)
    _attraction: csr_matrix = field(repr=False)
    """(q, judged): what pulled, and how strongly."""
    _similarity: Similarity = field(repr=False)

    @cached_property
    def documents(self) -> Float32:
        """All documents, (n, d) float32; a row that did not move is bit for bit the input's.

        Made when first asked for. Documents that are a memory-mapped float32 file come back as a
        private copy-on-write mapping of it, which takes memory for the moved rows alone.
        """
        whole = _private(self.original)
        whole[self.moved] = self.vectors
        return whole

    def explain(self, row: int, depth: int = 10) -> Explanation:
        """Why document `row` moved, and which queries it now wins and loses.

        depth: a query is won where the document enters its first `depth` places.
        """
        if not -1 < row < len(self.original):
            raise InputError(f"there is no row {row}; documents have {len(self.original)}")
        at = int(np.searchsorted(self.moved, row))
        old = np.asarray(self.original[row], np.float32)
        new = self.vectors[at] if row in self.moved[at : at + 1] else old
        return explain(
            row,
            old,
            new,
            queries=self._queries,
            relevance=self._relevance,
            pull=self._pull(),
            bars=self._bars(depth),
            similarity=self._similarity,
        )

    def _pull(self) -> csr_matrix:
        """How strongly each query pulled each document: (q, n)."""
        narrow = self._attraction
        return csr_matrix(
            (narrow.data, self._judged[narrow.indices], narrow.indptr),
            shape=(len(self._queries), len(self.original)),
        )

    def _bars(self, depth: int) -> tuple[Best, Best]:
        """The best `depth` documents of each query, before and after."""
        if depth not in self._cache:
            before = best(self._queries, self.original, depth, similarity=self._similarity)
            after = best(self._queries, self.documents, depth, similarity=self._similarity)
            self._cache[depth] = (before, after)
        found: tuple[Best, Best] = self._cache[depth]
        return found

    _cache: dict[int, Any] = field(default_factory=dict, repr=False)


def finetune(
    documents: NDArray[np.floating],
    train_queries: NDArray[np.floating],
    train_relevant: Relevant,
    validation_queries: NDArray[np.floating] | None = None,
    validation_relevant: Relevant | None = None,
    method: Method = "nudge-n",
    metric: str = "ndcg@10",
    angle: float | None = None,
    *,
    candidates: Candidates | None = None,
    train_weights: NDArray[Any] | Relevant | None = None,
    similarity: Similarity = "cosine",
    max_angle: float = MAX_ANGLE,
    threads: int = 0,
) -> Fit:
    """Move documents towards the queries they answer, as far as held-out queries gain from it.

    documents: (n, d), any float type, also memory-mapped and read-only; never changed.
    *_queries: (q, d), any length.  *_relevant: for each query the relevant rows, or row -> grade;
    a grade of 0 or below pushes away (nudge-c only), the others are the metric's gains.
    method: "nudge-n", "nudge-m" (similarity "dot" only), "nudge-c", "nothing", or "auto", which
    compares them. A named method learns from the training queries and is only measured on the
    validation queries; "auto" learns again from both once it has chosen.
    angle: radians, not chosen but given; for nudge-m its step in lengths of the document.
    candidates: the best rows for each validation query (or each training and then each validation
    query), from a database's search: more than the metric's places, so that enough are left when
    judged rows are dropped. Without them every document is looked at.
    train_weights: how much each training query, (q,), or judgement (as `train_relevant`), counts.
    Raises InputError.
    """
    return fitted(
        documents,
        (train_queries, train_relevant, train_weights),
        (validation_queries, validation_relevant),
        Options(method, metric, angle, similarity, max_angle, threads),
        candidates,
    )


@dataclass(frozen=True)
class Options:
    """How to fine-tune."""

    method: Method
    metric: str
    angle: float | None
    similarity: Similarity
    max_angle: float = MAX_ANGLE
    threads: int = 0


def fitted(
    documents: Any,
    train: tuple[Any, Any, Any],
    held_out: tuple[Any, Any],
    options: Options,
    candidates: Candidates | None = None,
    others: NDArray[Any] | None = None,
) -> Fit:
    """`finetune`, with its arguments gathered: queries, what is relevant, and weights.

    others: documents that can neither be relevant nor move, but are found.
    """
    rows = document_rows(documents)
    teachers = unit_queries(train[0], rows, "train_queries")
    judges = unit_queries(held_out[0], rows, "validation_queries")
    queries, learners = (
        np.concatenate([teachers, judges]),
        np.arange(len(teachers) + len(judges)) < len(teachers),
    )
    relevance = _relevance(train[1], held_out[1], len(teachers), len(judges), len(rows))
    judged = np.unique(relevance.indices).astype(np.int64)
    small = narrow(relevance, judged)
    made = _splits(small, learners, options.method, options.angle)
    asked = _asked(made, learners, options.method)
    depth = metrics.parse(options.metric).depth
    with limit_threads(options.threads):
        scores = unjudged_scores(
            rows, queries, judged, depth, candidates, asked, options.similarity, others
        )
        task = checked(
            judged_rows(rows, judged),
            Queries(queries, small, scores),
            pull_weights(train[2], small, judged, len(teachers), len(rows)),
            options.metric,
            options.similarity,
            options.max_angle,
        )
        learn = np.ones(len(queries), np.bool_) if options.method == "auto" else learners
        chosen = choose_and_learn(task, made, learn, options.method, options.angle)
    pull = task.taught(learn)
    return _fit(rows, judged, chosen, queries, relevance, pull, options.similarity)


def _relevance(train: Any, held_out: Any, teachers: int, judges: int, documents: int) -> csr_matrix:
    """All judgements, training queries first: (q, n)."""
    second = [] if held_out is None else held_out
    return csr_matrix(
        vstack(
            [
                matrix(train, teachers, documents, "train_relevant"),
                matrix(second, judges, documents, "validation_relevant"),
            ]
        )
    )


def _splits(
    relevance: csr_matrix, learners: NDArray[np.bool_], method: Method, angle: float | None
) -> list[Split]:
    """The split handed in; or folds, where it is too small for "auto" or there is none."""
    counts = answered(relevance)
    if not (learners & counts).any():
        return []
    given = Split(learners, ~learners & counts)
    if given.judge.any() and (method != "auto" or counts.sum() >= ENOUGH):
        return [given]
    if method != "auto" and angle is not None:
        return []
    pool = relevance if method == "auto" else csr_matrix(relevance.multiply(learners[:, None]))
    return splits(np.arange(len(learners)) % PARTS, pool)


def _asked(made: list[Split], learners: NDArray[np.bool_], method: Method) -> NDArray[np.bool_]:
    """The queries whose unjudged scores matter."""
    if method in {"auto", "nudge-c"}:
        return np.ones(len(learners), np.bool_)
    asked = np.zeros(len(learners), np.bool_)
    for one in made:
        asked |= one.judge
    return asked


def _fit(
    documents: NDArray[Any],
    judged: Rows,
    chosen: Choice,
    queries: Float32,
    relevance: csr_matrix,
    pull: csr_matrix,
    similarity: Similarity,
) -> Fit:
    return Fit(
        documents,
        judged[chosen.moved],
        chosen.vectors if len(chosen.moved) == len(judged) else chosen.vectors[chosen.moved],
        chosen.method,
        chosen.parameters,
        chosen.scores,
        chosen.reasons,
        queries,
        relevance,
        judged,
        pull,
        similarity,
    )


def _private(documents: NDArray[Any]) -> Float32:
    """A float32 copy that may be written; of a mapped file, a copy-on-write mapping."""
    if isinstance(documents, np.memmap) and isinstance(documents.base, mmap.mmap):
        path = documents.filename
        if documents.dtype == np.float32 and path is not None:
            order: Literal["C", "F"] = "C" if documents.flags.c_contiguous else "F"
            shape = (documents.shape[0], documents.shape[1])
            return np.memmap(path, np.float32, "c", documents.offset, shape, order)
    whole = np.empty(documents.shape, np.float32)

    def copy(rows: slice) -> None:
        whole[rows] = documents[rows]

    map_in_threads(copy, list(chunks(len(documents), 1 << 14)))
    return whole
