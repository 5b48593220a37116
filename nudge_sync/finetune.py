"""Fine-tuning without a database: documents and judged queries in, moved documents out."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from nudge_sync import metrics
from nudge_sync.errors import InputError
from nudge_sync.explanation import Explanation, explain
from nudge_sync.judgements import Relevant, matrix
from nudge_sync.solve import MAX_ANGLE, checked, choose_and_learn, limited
from nudge_sync.solve.problem import PARTS, Choice, Float32, Method, Queries, Rows, Similarity
from nudge_sync.solve.ranked import answered
from nudge_sync.solve.rotation import TINY, lengths, unit
from nudge_sync.solve.task import ENOUGH, Split, splits
from nudge_sync.solve.topk import Best, best

Candidates: TypeAlias = NDArray[np.int64] | tuple[NDArray[np.int64], NDArray[np.floating]]
"""Rows of the best documents of each query, (q, k), -1 for none; or those rows and their scores."""


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
    _pull: csr_matrix = field(repr=False)
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
            pull=self._pull,
            bars=self._bars(depth),
            similarity=self._similarity,
        )

    def _bars(self, depth: int) -> tuple[Best, Best]:
        """The best `depth` documents of each query, before and after."""
        if depth not in self._cache:
            before = best(self._queries, self.original, depth, similarity=self._similarity)
            after = best(self._queries, self.documents, depth, similarity=self._similarity)
            self._cache[depth] = (before, after)
        return self._cache[depth]

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
    place = metrics.parse(metric).depth
    rows = _documents(documents)
    train, held = _queries(train_queries, rows, "train_queries"), _queries(validation_queries, rows, "validation_queries")
    relevance = csr_matrix(vstack([
        matrix(train_relevant, len(train), len(rows), "train_relevant"),
        matrix(validation_relevant if validation_relevant is not None else [], len(held), len(rows), "validation_relevant"),
    ]))
    judged = np.unique(relevance.indices).astype(np.int64)
    narrow = _narrow(relevance, judged)
    everyone = np.concatenate([train, held])
    learners = np.arange(len(everyone)) < len(train)
    made = _splits(narrow, learners, method, angle)
    with limited(threads):
        unjudged = _unjudged(rows, everyone, judged, place, candidates, _asked(made, learners, method), similarity)
        task = checked(_judged(rows, judged), Queries(everyone, narrow, unjudged),
                       _weights(train_weights, narrow, judged, len(train), len(rows)), metric, similarity, max_angle)
        learn = np.ones(len(everyone), np.bool_) if method == "auto" else learners
        chosen = choose_and_learn(task, made, learn, method, angle)
    return _fit(rows, judged, chosen, everyone, relevance, task.attraction, learn, similarity)


def _documents(documents: Any) -> NDArray[np.floating]:
    rows = documents if isinstance(documents, np.ndarray) else np.asarray(documents)
    if rows.ndim != 2 or rows.shape[1] == 0 or rows.dtype.kind not in "fiu":
        raise InputError(f"documents have to be numbers, (n, d); these are {rows.dtype} {rows.shape}")
    return rows


def _queries(queries: Any, documents: NDArray[Any], name: str) -> Float32:
    """Unit rows; raises InputError for a row without a direction."""
    if queries is None:
        return np.empty((0, documents.shape[1]), np.float32)
    rows = np.asarray(queries, np.float32)
    if rows.size == 0:
        return np.empty((0, documents.shape[1]), np.float32)
    if rows.ndim != 2 or rows.shape[1] != documents.shape[1]:
        raise InputError(
            f"{name} are {rows.shape} and documents {documents.shape}; "
            "both have to come from one model, (rows, dimensions)"
        )
    usable = np.isfinite(rows).all(axis=1)
    usable[usable] = lengths(rows[usable]) > TINY
    if not usable.all():
        raise InputError(
            f"{name}[{np.flatnonzero(~usable)[0]}] is zero or not finite; "
            "leave it out together with its judgements"
        )
    return unit(rows).astype(np.float32)


def _judged(documents: NDArray[Any], judged: Rows) -> Float32:
    rows = np.asarray(documents[judged], np.float32)
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        raise InputError(
            f"documents[{judged[broken[0]]}] is judged and holds NaN or infinity; "
            "embed it again, or leave out its judgements"
        )
    return rows


def _narrow(relevance: csr_matrix, judged: Rows) -> csr_matrix:
    """The same judgements over judged rows alone."""
    columns = np.searchsorted(judged, relevance.indices)
    return csr_matrix(
        (relevance.data, columns, relevance.indptr), shape=(relevance.shape[0], len(judged))
    )


def _splits(
    relevance: csr_matrix, learners: NDArray[np.bool_], method: Method, angle: float | None
) -> list[Split]:
    """The split handed in; or folds, where it is too small for "auto" or there is none."""
    counts = answered(relevance)
    given = Split(learners, ~learners & counts)
    if (given.judge.any() and (learners & counts).any()) and (
        method != "auto" or counts.sum() >= ENOUGH
    ):
        return [given]
    if method != "auto" and angle is not None:
        return []
    pool = relevance if method == "auto" else relevance.multiply(learners[:, None]).tocsr()
    return splits(np.arange(len(learners)) % PARTS, pool)


def _asked(made: list[Split], learners: NDArray[np.bool_], method: Method) -> NDArray[np.bool_]:
    """The queries whose unjudged scores matter."""
    if method in {"auto", "nudge-c"}:
        return np.ones(len(learners), np.bool_)
    asked = np.zeros(len(learners), np.bool_)
    for one in made:
        asked |= one.judge
    return asked


def _unjudged(
    documents: NDArray[Any],
    queries: Float32,
    judged: Rows,
    depth: int,
    candidates: Candidates | None,
    asked: NDArray[np.bool_],
    similarity: Similarity,
) -> Float32:
    scores = np.full((len(queries), depth), -np.inf, np.float32)
    if candidates is not None:
        rows, known = _handed_in(documents, queries, candidates, similarity)
        known = np.where(np.isin(rows, judged) | (rows < 0), -np.inf, known)
        ranked = -np.sort(-known, axis=1)[:, :depth]
        scores[len(queries) - len(rows) :, : ranked.shape[1]] = ranked
    elif len(judged) < len(documents) and asked.any():
        found = best(queries[asked], documents, depth, skip=judged, similarity=similarity)
        scores[asked] = found.scores
    return scores


def _handed_in(
    documents: NDArray[Any], queries: Float32, candidates: Candidates, similarity: Similarity
) -> tuple[Rows, NDArray[np.floating]]:
    rows, known = candidates if isinstance(candidates, tuple) else (candidates, None)
    rows = np.asarray(rows)
    if rows.ndim != 2 or len(rows) > len(queries) or (rows.size and rows.max() >= len(documents)):
        raise InputError(
            "candidates have to be rows of documents, (validation queries, k), -1 for none"
        )
    if known is not None and np.shape(known) != rows.shape:
        raise InputError(f"candidates: {rows.shape} rows but {np.shape(known)} scores")
    if known is not None:
        return rows, np.asarray(known, np.float32)
    computed = np.empty(rows.shape, np.float32)
    for number, query in enumerate(queries[len(queries) - len(rows) :]):
        vectors = np.asarray(documents[np.maximum(rows[number], 0)], np.float32)
        computed[number] = (unit(vectors) if similarity == "cosine" else vectors) @ query
    return rows, computed


def _weights(
    weights: Any, relevance: csr_matrix, judged: Rows, count: int, documents: int
) -> csr_matrix | NDArray[Any] | None:
    if weights is None:
        return None
    if isinstance(weights, np.ndarray) and weights.ndim == 1 and weights.dtype.kind in "fiub":
        if len(weights) != count:
            raise InputError(f"train_weights are {len(weights)} for {count} training queries")
        return np.append(weights.astype(np.float64), np.ones(relevance.shape[0] - count))
    narrow = _narrow(*_known(matrix(weights, count, documents, "train_weights"), judged))
    return csr_matrix(vstack([narrow, (relevance[count:] > 0).astype(np.float64)]))


def _known(weights: csr_matrix, judged: Rows) -> tuple[csr_matrix, Rows]:
    if not np.isin(weights.indices, judged).all():
        raise InputError("train_weights name a row that is judged by no query")
    return weights, judged


def _fit(
    documents: NDArray[Any],
    judged: Rows,
    chosen: Choice,
    queries: Float32,
    relevance: csr_matrix,
    pull: csr_matrix,
    learn: NDArray[np.bool_],
    similarity: Similarity,
) -> Fit:
    wide = csr_matrix(
        (pull.data, judged[pull.indices], pull.indptr), shape=(len(queries), len(documents))
    )
    return Fit(
        documents,
        judged[chosen.moved],
        chosen.vectors[chosen.moved],
        chosen.method,
        chosen.parameters,
        chosen.scores,
        chosen.reasons,
        queries,
        relevance,
        csr_matrix(wide.multiply(learn[:, None])),
        similarity,
    )


def _private(documents: NDArray[Any]) -> Float32:
    """A float32 copy that may be written; of a mapped file, a copy-on-write mapping."""
    mapped = isinstance(documents, np.memmap) and isinstance(documents.base, mmap.mmap)
    if mapped and documents.dtype == np.float32 and documents.filename is not None:
        order = "C" if documents.flags.c_contiguous else "F"
        return np.memmap(
            documents.filename, np.float32, "c", documents.offset, documents.shape, order
        )
    return np.array(documents, np.float32)
