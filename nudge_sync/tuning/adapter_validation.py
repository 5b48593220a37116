"""Cross-validation of maps of queries: on known topics, on cold answers, and on new topics."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.sparse import csr_matrix

from nudge_sync.base.arrays import Float64, Int64
from nudge_sync.solve.problem import ColdReport, GainEstimate, JudgedQueries
from nudge_sync.solve.relevance import find_first_answers, has_answer
from nudge_sync.solve.score import metric_values
from nudge_sync.solve.selection.document_folds import SUGGESTED_COLD_SHARE, hash_rows
from nudge_sync.solve.selection.strata import estimate_gain
from nudge_sync.solve.task import find_first_equals, mask_judgements
from nudge_sync.tuning.adapter_maps import AdapterTask, Strength, learn_maps
from nudge_sync.tuning.query_adapter import QueryAdapter

CLUSTERS = 20
PARTS = 5
"""Parts that queries, documents and clusters are dealt into; each is left out once."""
MAX_SCORED_QUERIES = 2_000
"""Most queries, drawn at random, that the strength is chosen by."""
_SEED = 20210
"""What draws and clusters start from, so that the same task gives the same map."""
_METRIC_DEPTH = 1_000
"""At least the lowest rank that a metric looks at."""


@dataclass(frozen=True, slots=True)
class Gains:
    """The cross-validated gains of a map, with 95 % intervals by clusters of queries."""

    warm: GainEstimate
    """Of queries left out, on answers whose documents kept their judgements."""
    cold: GainEstimate
    """Of queries left out, on answers whose documents lost theirs."""
    beside_moved: GainEstimate | None
    """Of queries left out, on answers whose documents lost theirs, beside documents that have
    moved; None where none has."""
    new: GainEstimate
    """Of queries whose whole cluster was left out."""

    def __str__(self) -> str:
        """Return the gains in points, for people."""
        parts = [(self.warm, "warm answers"), (self.cold, "cold ones"), (self.new, "new topics")]
        if self.beside_moved:
            parts.insert(2, (self.beside_moved, "cold ones beside documents that moved"))
        return ", ".join(
            f"{100 * gain.mean:+.2f} points ({100 * gain.low:+.2f} to {100 * gain.high:+.2f}) on "
            f"{name}"
            for gain, name in parts
        )


@dataclass(frozen=True, slots=True)
class StrengthTrial:
    """What each query gains by maps of one strength that did not learn from it; NaN: not asked."""

    warm: Float64
    """(q,): on answers whose documents kept their judgements."""
    cold: Float64
    """(q,): on answers whose documents lost them, before any document moved."""
    beside_moved: Float64
    """(q,): on answers whose documents lost them, beside documents that have moved."""
    new: Float64
    """(q,): on all answers, with its whole cluster left out."""

    @property
    def means(self) -> tuple[float, float, float]:
        """The means of `warm`, of the worse of `cold` and `beside_moved`, and of `new`.

        0 where no query was asked.
        """
        colds = [values for values in (self.cold, self.beside_moved) if np.isfinite(values).any()]
        return _mean(self.warm), min(map(_mean, colds), default=0.0), _mean(self.new)

    @property
    def is_harmless(self) -> bool:
        """Whether neither cold answers lose, with documents moved or not, nor new topics."""
        return min(self.means[1:]) >= 0

    def estimate_gains(self, cluster: Int64) -> Gains:
        """Return the means with their intervals.  cluster: (q,), queries that count as one."""
        warm, cold, new = (
            _estimate(values, cluster) for values in (self.warm, self.cold, self.new)
        )
        has_moved = np.isfinite(self.beside_moved).any()
        beside_moved = _estimate(self.beside_moved, cluster) if has_moved else None
        return Gains(warm, cold, beside_moved, new)

    def estimate_overall(self, cluster: Int64) -> GainEstimate:
        """Return the mean of what queries gain on warm answers and on new topics."""
        return _estimate((self.warm + self.new) / 2, cluster)


def _mean(values: Float64) -> float:
    asked = values[np.isfinite(values)]
    return float(asked.mean()) if len(asked) else 0.0


def _estimate(values: Float64, cluster: Int64) -> GainEstimate:
    asked = np.isfinite(values)
    return estimate_gain(values[asked], cluster[asked])


def cross_validate(
    task: AdapterTask, strengths: Sequence[Strength], cluster: Int64
) -> dict[Strength, StrengthTrial]:
    """Return what maps of each strength do to queries that they did not learn from.

    Twice, each fifth of the queries is left out of learning: at random, and a fifth of the judged
    documents loses its judgements with it; and by whole clusters. Where documents have moved, those
    that lost their judgements are searched for once more where they were, among the others where
    they are now: these draw an adapted query more strongly. All else is scored before any move,
    since documents moved for the very queries that are left out.  cluster: (q,).
    """
    count = len(task.queries)
    is_scored = _draw_scored(count)
    trials = {
        strength: StrengthTrial(*(np.full(count, np.nan) for _ in range(4)))
        for strength in strengths
    }
    # Equal queries are left out together, so that none is scored by what it has taught.
    random_fold, cluster_fold = find_first_equals(task.queries) % PARTS, deal_clusters(cluster)
    document_fold = hash_rows(task.documents) % PARTS
    nobody = np.zeros(len(task.documents), np.bool_)
    for fold in range(PARTS):
        hidden = document_fold == fold
        adapters = _learn_adapters(_leave_out(task, random_fold == fold, hidden), strengths)
        part = np.flatnonzero((random_fold == fold) & is_scored)
        _note_gains(task, part, ~hidden, adapters, {one: t.warm for one, t in trials.items()})
        _note_gains(task, part, hidden, adapters, {one: t.cold for one, t in trials.items()})
        if task.live_documents is not None:
            beside_moved = {one: trial.beside_moved for one, trial in trials.items()}
            _note_gains(task.put_back(hidden), part, hidden, adapters, beside_moved)
        adapters = _learn_adapters(_leave_out(task, cluster_fold == fold, nobody), strengths)
        part = np.flatnonzero((cluster_fold == fold) & is_scored)
        _note_gains(task, part, ~nobody, adapters, {one: t.new for one, t in trials.items()})
    return trials


def _draw_scored(count: int) -> NDArray[np.bool_]:
    is_scored = np.zeros(count, np.bool_)
    is_scored[np.random.default_rng(_SEED).permutation(count)[:MAX_SCORED_QUERIES]] = True
    return is_scored


def _leave_out(
    task: AdapterTask, left_out: NDArray[np.bool_], hidden: NDArray[np.bool_]
) -> AdapterTask:
    return task.select(np.flatnonzero(~left_out)).hide(hidden)


def _learn_adapters(
    task: AdapterTask, strengths: Sequence[Strength]
) -> dict[Strength, QueryAdapter]:
    """Return the map of each strength; none where there is no query to learn from."""
    if not len(task.queries):
        return {}
    maps = learn_maps(task)
    return {strength: maps.build_adapter(strength) for strength in strengths}


def _note_gains(
    task: AdapterTask,
    rows: NDArray[np.intp],
    counted: NDArray[np.bool_],
    adapters: Mapping[Strength, QueryAdapter],
    results: Mapping[Strength, Float64],
) -> None:
    """Put into `results`, (q,), what the queries `rows` gain on answers among `counted`, (n,)."""
    rows = rows[has_answer(mask_judgements(task.weights[rows], ~counted))]
    if not len(rows):
        return
    part = task.select(rows)
    baseline = score_answers(part, counted)
    for strength, adapter in adapters.items():
        results[strength][rows] = score_answers(part, counted, adapter) - baseline


def score_answers(
    task: AdapterTask,
    counted: NDArray[np.bool_] | None = None,
    adapter: QueryAdapter | None = None,
) -> Float64:
    """Return the metric of each query, (q,), by exact search; with adapted queries if asked to.

    counted: (n,), the documents whose answers count; a query's others leave its ranking.
    """
    queries = task.queries if adapter is None else adapter(task.queries)
    no_others = np.full((len(queries), _METRIC_DEPTH), -np.inf, np.float32)
    relevance, excluded = task.relevance, None
    if counted is not None:
        relevance = mask_judgements(task.relevance, ~counted)
        excluded = csr_matrix(mask_judgements(task.relevance, counted) > 0)
    judged = JudgedQueries(queries, relevance, no_others, excluded)
    return metric_values(task.documents, judged, task.metric, similarity=task.similarity)


def measure_cold_answers(
    train: AdapterTask, held_out: AdapterTask, strength: Strength, confidence: float
) -> ColdReport:
    """Return what a map does to held-out queries, on warm answers and on cold ones.

    The map is learned again without the judgements of each fifth of the documents, which is then
    searched for where it was, among the others where they are now. Queries with the same first
    answer count as one observation.
    """
    gains: tuple[list[Float64], list[Float64]] = ([], [])
    clusters: tuple[list[Int64], list[Int64]] = ([], [])
    document_fold = hash_rows(train.documents) % PARTS
    for fold in range(PARTS):
        hidden = document_fold == fold
        adapters = _learn_adapters(train.hide(hidden), [strength])
        searched = held_out.put_back(hidden)
        for kind, counted in enumerate((~hidden, hidden)):
            values = np.full(len(held_out.queries), np.nan)
            rows = np.arange(len(values))
            _note_gains(searched, rows, counted, adapters, {strength: values})
            gains[kind].append(values)
            clusters[kind].append(find_first_answers(mask_judgements(held_out.weights, ~counted)))
    warm, cold = (
        _estimate_joined(*joined, confidence) for joined in zip(gains, clusters, strict=True)
    )
    return ColdReport(SUGGESTED_COLD_SHARE, warm, cold)


def _estimate_joined(
    gains: list[Float64], clusters: list[Int64], confidence: float
) -> GainEstimate:
    values, cluster = np.concatenate(gains), np.concatenate(clusters)
    asked = np.isfinite(values)
    return estimate_gain(values[asked], cluster[asked], confidence)


def cluster_queries(queries: Float64) -> Int64:
    """Return the cluster of each query, (q,), by k-means from a fixed seed."""
    with warnings.catch_warnings():
        # Of queries that are all alike some clusters stay empty, which does no harm.
        warnings.simplefilter("ignore", UserWarning)
        rng = np.random.default_rng(_SEED)
        return np.asarray(kmeans2(queries, CLUSTERS, minit="++", rng=rng)[1], np.int64)


def deal_clusters(cluster: Int64) -> Int64:
    """Return the fold of each query, (q,): whole clusters, largest first, to the smallest fold."""
    sizes = np.bincount(cluster)
    fold_of_cluster, totals = np.zeros(len(sizes), np.int64), np.zeros(PARTS, np.int64)
    for number in np.argsort(-sizes, kind="stable"):
        fold = int(np.argmin(totals))
        fold_of_cluster[number] = fold
        totals[fold] += sizes[number]
    return fold_of_cluster[cluster]
