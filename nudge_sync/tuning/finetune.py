"""Fine-tuning without a database, from documents and judged queries to moved documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from nudge_sync import metrics
from nudge_sync.base.arrays import Float32
from nudge_sync.base.threads import limit_threads
from nudge_sync.errors import InputError
from nudge_sync.solve.fit import DEFAULT_MAX_ANGLE, build_task, choose_and_fit
from nudge_sync.solve.problem import (
    BUCKET_COUNT,
    Choice,
    ColdReport,
    JudgedQueries,
    Method,
    Rows,
    Similarity,
    check_options,
)
from nudge_sync.solve.relevance import has_answer
from nudge_sync.solve.task import (
    MIN_QUERIES_FOR_ONE_SPLIT,
    ValidationSplit,
    build_splits,
    find_first_equals,
)
from nudge_sync.solve.topk import TopK, find_top_k
from nudge_sync.tuning.document_copies import copy_documents
from nudge_sync.tuning.explain import Explanation, explain_document
from nudge_sync.tuning.inputs import (
    Candidates,
    QuerySet,
    build_weights,
    check_documents,
    read_judged_rows,
    scale_candidate_scores,
    scale_queries,
    score_unjudged,
    select_judged_columns,
)
from nudge_sync.tuning.qrels import RelevantDocuments, build_relevance_matrix


@dataclass(frozen=True)
class Fit:
    """The documents after fine-tuning, and why they are where they are."""

    original: NDArray[np.floating]
    """(n, d): the documents that were handed in."""
    moved: Rows
    """The rows that changed, ascending."""
    vectors: Float32
    """(moved, d): the new vectors of those rows."""
    method: str
    """"nothing", "nudge-n", "nudge-h", "nudge-m" or "nudge-c"."""
    parameters: dict[str, Any]
    """The settings chosen."""
    scores: dict[str, float]
    """The validation metric of each candidate."""
    reasons: list[str]
    """Sentences on how many queries counted, and why this method and these settings."""
    cold: ColdReport | None
    """The gains on documents with and without feedback, where `cold_share` was given."""
    _queries: Float32 = field(repr=False)
    _relevance: csr_matrix = field(repr=False)
    _judged_rows: Rows = field(repr=False)
    _attraction: csr_matrix = field(repr=False)
    """(q, judged): how strongly each query attracted each judged document."""
    _similarity: Similarity = field(repr=False)

    @cached_property
    def documents(self) -> Float32:
        """Return all documents, (n, d) float32; rows that did not move are the input's bits.

        They are put together when first asked for. Documents that are a memory-mapped float32
        file come back as a private copy-on-write mapping of it, which takes memory for the moved
        rows alone.
        """
        documents = copy_documents(self.original)
        documents[self.moved] = self.vectors
        return documents

    def explain(self, row: int, depth: int = 10) -> Explanation:
        """Explain why document `row` moved, and which queries it wins and loses.

        depth: a query is won where the document enters its first `depth` ranks.
        Raises InputError where there is no such row.
        """
        if not -1 < row < len(self.original):
            raise InputError(f"there is no row {row}; documents have {len(self.original)}")
        position = int(np.searchsorted(self.moved, row))
        old = np.asarray(self.original[row], np.float32)
        new = self.vectors[position] if row in self.moved[position : position + 1] else old
        return explain_document(
            row,
            old,
            new,
            queries=self._queries,
            relevance=self._relevance,
            attraction=self._widen_attraction(),
            rankings=self._search_before_and_after(depth),
            similarity=self._similarity,
        )

    def _widen_attraction(self) -> csr_matrix:
        """Return how strongly each query attracted each document: (q, n)."""
        attraction = self._attraction
        return csr_matrix(
            (attraction.data, self._judged_rows[attraction.indices], attraction.indptr),
            shape=(len(self._queries), len(self.original)),
        )

    def _search_before_and_after(self, depth: int) -> tuple[TopK, TopK]:
        """Return the best `depth` documents of each query, before and after."""
        if depth not in self._rankings:
            before = find_top_k(self._queries, self.original, depth, similarity=self._similarity)
            after = find_top_k(self._queries, self.documents, depth, similarity=self._similarity)
            self._rankings[depth] = (before, after)
        rankings: tuple[TopK, TopK] = self._rankings[depth]
        return rankings

    _rankings: dict[int, Any] = field(default_factory=dict, repr=False)


def finetune(
    documents: NDArray[np.floating],
    train_queries: NDArray[np.floating],
    train_relevant: RelevantDocuments,
    validation_queries: NDArray[np.floating] | None = None,
    validation_relevant: RelevantDocuments | None = None,
    method: Method = "nudge-n",
    metric: str = "ndcg@10",
    angle: float | None = None,
    *,
    candidates: Candidates | None = None,
    train_weights: NDArray[Any] | RelevantDocuments | None = None,
    similarity: Similarity = "cosine",
    max_angle: float = DEFAULT_MAX_ANGLE,
    cold_share: float | None = None,
    threads: int = 0,
) -> Fit:
    """Move documents towards the queries they answer, as far as held-out queries gain from it.

    documents: (n, d), any float type, also memory-mapped and read-only; never changed.
    *_queries: (q, d), any length.  *_relevant: for each query the relevant rows, or row -> grade,
    or a sparse matrix of grades, (q, n); a grade of 0 or below pushes away (nudge-c only), the
    others are the metric's gains.
    method: "nudge-n", "nudge-h", "nudge-m" (similarity "dot" only), "nudge-c", "nothing", or
    "auto", which compares them (nudge-h only with a `cold_share`). A named method is trained on
    the training queries and only measured on the validation queries; "auto" trains again on both
    once it has chosen.
    angle: a fixed angle in radians instead of a chosen one; for nudge-m its step, in lengths of
    the document.
    candidates: the best rows for each validation query (or each training and then each validation
    query), from a database's search: more than the metric has ranks, so that enough are left when
    judged rows are dropped; with their scores, if these are the similarity to the queries as they
    are handed in. Without them every document is scored.
    max_angle: the largest angle that is tried, in radians, 0 to pi/2.  threads: 0 for one per core.
    cold_share: weight, 0 to 1, of documents without feedback in the choice; None: not considered.
    train_weights: how much each training query, (q,), or judgement (as `train_relevant`), counts.
    Raises InputError.
    """
    return finetune_documents(
        documents,
        QuerySet(train_queries, train_relevant, train_weights),
        QuerySet(validation_queries, validation_relevant),
        FinetuneOptions(method, metric, angle, similarity, max_angle, threads, cold_share),
        candidates,
    )


@dataclass(frozen=True)
class FinetuneOptions:
    """The arguments of `finetune` that say how to move documents."""

    method: Method
    metric: str
    angle: float | None
    similarity: Similarity
    max_angle: float = DEFAULT_MAX_ANGLE
    threads: int = 0
    cold_share: float | None = None


def finetune_documents(
    documents: Any,
    train: QuerySet,
    validation: QuerySet,
    options: FinetuneOptions,
    candidates: Candidates | None = None,
    fixed_documents: NDArray[Any] | None = None,
) -> Fit:
    """Move documents towards the queries they answer, as `finetune` does.

    fixed_documents: documents that cannot be relevant and do not move, but rank too.
    Unlike `finetune`, this takes weights of the validation queries: "auto" trains on them too.
    """
    check_options(options.method, options.similarity, options.max_angle)
    rows = check_documents(documents)
    queries, is_train = _stack_queries(train, validation, rows)
    relevance = _build_relevance(train, validation, is_train, len(rows))
    judged = np.unique(relevance.indices).astype(np.int64)
    judged_relevance = select_judged_columns(relevance, judged)
    if candidates is not None:
        candidates = scale_candidate_scores(candidates, train, validation, options.similarity)
    splits = _choose_splits(queries, judged_relevance, is_train, options.method, options.angle)
    needs_scores = _select_scored_queries(splits, is_train, options)
    depth = metrics.parse_metric(options.metric).depth
    with limit_threads(options.threads):
        scores = score_unjudged(
            rows,
            queries,
            judged,
            depth,
            candidates,
            needs_scores,
            options.similarity,
            fixed_documents,
        )
        task = build_task(
            read_judged_rows(rows, judged),
            JudgedQueries(queries, judged_relevance, scores),
            build_weights(train, validation, is_train, judged_relevance, judged, len(rows)),
            options.metric,
            options.similarity,
            options.max_angle,
            options.cold_share,
        )
        final_train = np.ones(len(queries), np.bool_) if options.method == "auto" else is_train
        choice = choose_and_fit(task, splits, final_train, options.method, options.angle)
    attraction = task.select_attraction(final_train)
    return _build_fit(rows, judged, choice, queries, relevance, attraction, options.similarity)


def _stack_queries(
    train: QuerySet, validation: QuerySet, documents: NDArray[Any]
) -> tuple[Float32, NDArray[np.bool_]]:
    """Return all queries as unit rows, (q, d), training queries first, and a mask of these."""
    train_queries = scale_queries(train.queries, documents, "train_queries")
    validation_queries = scale_queries(validation.queries, documents, "validation_queries")
    queries = np.concatenate([train_queries, validation_queries])
    return queries, np.arange(len(queries)) < len(train_queries)


def _build_relevance(
    train: QuerySet, validation: QuerySet, is_train: NDArray[np.bool_], document_count: int
) -> csr_matrix:
    """Return all judgements, (q, n), those of the training queries first."""
    train_count, validation_count = int(is_train.sum()), int((~is_train).sum())
    validation_relevant = [] if validation.relevant is None else validation.relevant
    parts = [
        build_relevance_matrix(train.relevant, train_count, document_count, "train_relevant"),
        build_relevance_matrix(
            validation_relevant, validation_count, document_count, "validation_relevant"
        ),
    ]
    return csr_matrix(vstack(parts))


def _choose_splits(
    queries: Float32,
    relevance: csr_matrix,
    is_train: NDArray[np.bool_],
    method: Method,
    angle: float | None,
) -> list[ValidationSplit]:
    """Return the split handed in; or folds, where it is too small for "auto" or there is none.

    Equal queries are in one fold, so that none validates what it has trained.
    """
    counts = has_answer(relevance)
    if not (is_train & counts).any():
        return []
    given_split = ValidationSplit(is_train, ~is_train & counts)
    if given_split.validation.any() and (
        method != "auto" or counts.sum() >= MIN_QUERIES_FOR_ONE_SPLIT
    ):
        return [given_split]
    if method != "auto" and angle is not None:
        return []
    pool = relevance if method == "auto" else csr_matrix(relevance.multiply(is_train[:, None]))
    return build_splits(find_first_equals(queries) % BUCKET_COUNT, pool)


def _select_scored_queries(
    splits: list[ValidationSplit], is_train: NDArray[np.bool_], options: FinetuneOptions
) -> NDArray[np.bool_]:
    """Return the mask of the queries whose scores of unjudged documents matter: (q,)."""
    if options.cold_share is not None or options.method in {"auto", "nudge-c"}:
        return np.ones(len(is_train), np.bool_)
    needs_scores = np.zeros(len(is_train), np.bool_)
    for split in splits:
        needs_scores |= split.validation
    return needs_scores


def _build_fit(
    documents: NDArray[Any],
    judged: Rows,
    choice: Choice,
    queries: Float32,
    relevance: csr_matrix,
    attraction: csr_matrix,
    similarity: Similarity,
) -> Fit:
    return Fit(
        documents,
        judged[choice.moved],
        choice.vectors if len(choice.moved) == len(judged) else choice.vectors[choice.moved],
        choice.method,
        choice.parameters,
        choice.scores,
        choice.reasons,
        choice.cold,
        queries,
        relevance,
        judged,
        attraction,
        similarity,
    )
