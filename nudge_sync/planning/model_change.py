"""Whether documents and feedback are of one embedding model.

Two signs tell. The documents of the fingerprint were embedded again, and lie where nothing of them
was before. And logged queries find the documents that answer them no better than chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64
from nudge_sync.base.text.percent import format_percent
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import PointId
from nudge_sync.feedback.fetch.model_check import MIN_SHARE
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.solve.geometry import unit
from nudge_sync.store import checksum
from nudge_sync.store.embedding_space import (
    SAMPLE_SIZE,
    EmbeddingSpace,
    choose_sample,
    cosines,
    read_space,
    sample_points,
    sketch_vectors,
)
from nudge_sync.store.ledger import Ledger, now_ms
from nudge_sync.store.lost_revisions import refuse_lost_revisions
from nudge_sync.store.provenance import (
    ClassifiedPoints,
    Ownership,
    classify_points,
)
from nudge_sync.store.shadow import OriginalsByPoint
from nudge_sync.store.target import Target

_POINTS_READ = 256
"""Points that are looked at, however many are judged."""
_FEWEST_POINTS = 20
"""Points that are too few to tell anything."""
_QUERIES_PER_POINT = 8
_KINSHIP = 0.5
"""Median cosine of a document's vectors before and after, below which the model is another: an
edited text or another version of one model stays above, two models come out about 0."""


@dataclass(frozen=True)
class Reembedding:
    """How many points of a sample were embedded again, and how near to where they were."""

    compared: int = 0
    changed: int = 0
    similarity: float | None = None
    """Median cosine of the vectors before and after; None where no point changed."""

    def is_of_another_model(self, max_share: float) -> bool:
        """Whether more than `max_share` was embedded again, by a model that is not the one of old.

        False where too few points are known.
        """
        return (
            self.changed >= _FEWEST_POINTS
            and self.changed > max_share * self.compared
            and self.similarity is not None
            and self.similarity < _KINSHIP
        )


@dataclass(frozen=True)
class Retrieval:
    """How well logged queries find their answers among the points of a sample."""

    points: int
    """How many of the sample answer a query."""
    mean: float
    """Share of the other points that a query ranks below its answer."""
    low: float
    high: float
    """Two standard errors of the mean below and above it."""

    @property
    def is_chance(self) -> bool:
        """Whether queries and documents have nothing to do with each other."""
        return self.high < MIN_SHARE

    @property
    def is_known_to_fit(self) -> bool:
        """Whether queries and documents are certainly of one space."""
        return self.low > MIN_SHARE


@dataclass(frozen=True)
class ModelReport:
    """What is known of the model that embeds the documents of a collection."""

    collection: str
    stored: EmbeddingSpace
    """The space that the ledger knows."""
    seen: EmbeddingSpace
    """The space to store: with the points as they are now."""
    reembedding: Reembedding = field(default_factory=Reembedding)
    retrieval: Retrieval | None = None
    """None where too few points answer a query, or nothing is suspected."""
    judgements: int = 0
    former_searches: int = 0
    """Searches that are left out until they are embedded again."""

    @property
    def has_changed(self) -> bool:
        """Whether the change was noticed now."""
        return self.seen.number > self.stored.number

    @property
    def problem(self) -> str:
        """Why no document may be moved by this feedback, and what to do; "" where it may."""
        if self.has_changed:
            return f"{self._describe_change()}. {_REMEDY}"
        if self.former_searches and not self.judgements:
            return (
                f'all {self.former_searches} searches logged for "{self.collection}" are of a '
                f"former embedding model. {_REMEDY}"
            )
        return ""

    @property
    def objection(self) -> str:
        """Why the gate refuses although no change of the model was seen; "" where there is none."""
        if self.problem or self.retrieval is None or not self.retrieval.is_chance:
            return ""
        return (
            f"logged queries rank the {self.retrieval.points} points that answer them above "
            f"{format_percent(self.retrieval.mean)} of the others, which is chance: queries and "
            "documents are of two embedding models, or the feedback names other documents. Embed "
            "the queries again (`nudge-sync feedback import --embed`), or set "
            "gate.max_drifted_share to 1 to go on"
        )

    @property
    def refusal(self) -> str:
        """Why nothing may be moved, by a change that was seen or by chance; "" where it may."""
        return self.problem or self.objection

    def summary(self) -> dict[str, Any]:
        """Return the `model` field of `plan` and `check --json`."""
        retrieval = self.retrieval
        return {
            "changed": bool(self.refusal),
            "reason": self.refusal,
            "space": self.seen.number,
            "compared_points": self.reembedding.compared,
            "changed_points": self.reembedding.changed,
            "similarity": self.reembedding.similarity,
            "retrieval": None if retrieval is None else round(retrieval.mean, 4),
            "former_searches": self.former_searches,
        }

    def _describe_change(self) -> str:
        seen = self.reembedding
        return (
            f'{seen.changed} of {seen.compared} points looked at in "{self.collection}" were '
            "embedded again, and nothing of where they were is left (median cosine "
            f"{seen.similarity:.2f}): by another model, or other documents have their ids. "
            "Logged queries say nothing of them"
        )


_REMEDY = (
    "Nothing was written. Embed the queries again with the new model (`nudge-sync feedback import "
    "FILE --embed MODULE:FUNCTION`, from the log with its texts): until then they are set aside, "
    "and searches logged from now on count. gate.max_drifted_share = 1 takes all as it is"
)


def examine_model(
    target: Target, settings: CollectionSettings, judgements: Judgements, ledger: Ledger
) -> ModelReport:
    """Return whether documents and feedback are of one model, by a sample of the points in play.

    Reads at most some hundred points, and writes nothing. Raises DamagedRecord, DatabaseError.
    """
    stored = read_space(target)
    originals = target.shadow.read_originals()
    judged_ids = {
        id_
        for id_, weight in zip(judgements.point_ids, judgements.weights.tolist(), strict=True)
        if weight > 0
    }
    read_ids = choose_sample({*judged_ids, *originals}, _POINTS_READ)
    sampled_ids = [point.id for point in stored.sample]
    points = classify_points(
        target, list(dict.fromkeys([*read_ids, *sampled_ids])), originals, ledger
    )
    entries = ledger.entries()
    refuse_lost_revisions(target, entries, originals)
    report = ModelReport(
        target.facts.collection,
        stored,
        replace(stored, sample=_draw_sample(points, read_ids)),
        _compare_points(target, stored, points, originals),
        _measure_retrieval(judgements, points) if settings.gate.suspects_drift else None,
        judgements=len(judgements),
        former_searches=judgements.former_searches,
    )
    if not report.reembedding.is_of_another_model(settings.gate.max_drifted_share):
        return report
    last_revision = entries[-1].number if entries else 0
    seen = replace(report.seen, revision=last_revision)
    # Feedback that fits the documents as they are was embedded again before anybody looked.
    if report.retrieval is None or not report.retrieval.is_known_to_fit:
        seen = replace(seen, number=stored.number + 1, since=now_ms())
    return replace(report, seen=seen)


def _draw_sample(points: ClassifiedPoints, ids: Sequence[PointId]) -> list[Any]:
    rows = {point: row for row, point in enumerate(points.ids)}
    kept = [point for point in ids if point in rows][:SAMPLE_SIZE]
    return sample_points(kept, points.originals[[rows[point] for point in kept]])


def _compare_points(
    target: Target, space: EmbeddingSpace, points: ClassifiedPoints, originals: OriginalsByPoint
) -> Reembedding:
    """Compare points with the fingerprint, or, where it is too small, with their originals."""
    rows = {point: row for row, point in enumerate(points.ids)}
    known = [point for point in space.sample if point.id in rows]
    if len(known) < _FEWEST_POINTS:
        return _compare_with_originals(target, space, points, originals)
    vectors = points.originals[[rows[point.id] for point in known]]
    digests = checksum.digest_vectors(vectors)
    is_changed = np.array(
        [point.digest != now for point, now in zip(known, digests, strict=True)], np.bool_
    )
    before = np.array([point.sketch for point in known], np.float64)
    return _build_reembedding(is_changed, cosines(before, sketch_vectors(vectors)))


def _compare_with_originals(
    target: Target, space: EmbeddingSpace, points: ClassifiedPoints, originals: OriginalsByPoint
) -> Reembedding:
    # A cycle beside may have moved points first since the originals were read.
    is_known = np.array([point in originals for point in points.ids], np.bool_)
    moved_rows = np.flatnonzero(is_known & (points.stored_at > space.revision))
    moved = points.select(moved_rows)
    if not len(moved_rows):
        return Reembedding()
    newest = [originals[point][-1] for point in moved.ids]
    stored = target.shadow.read_vectors(newest)
    is_changed = np.array([owner is Ownership.FOREIGN for owner in moved.ownership], np.bool_)
    # Zeros, like a cosine of 0, where the collection was made anew with another dimension: nothing
    # of it is where it was.
    before = np.zeros(moved.originals.shape)
    for row, original in enumerate(newest):
        if stored[original.key].shape == before[row].shape:
            before[row] = stored[original.key]
    return _build_reembedding(is_changed, cosines(before, moved.originals.astype(np.float64)))


def _build_reembedding(is_changed: NDArray[np.bool_], similarity: Float64) -> Reembedding:
    changed = int(is_changed.sum())
    median = round(float(np.median(similarity[is_changed])), 4) if changed else None
    return Reembedding(len(is_changed), changed, median)


def _measure_retrieval(judgements: Judgements, points: ClassifiedPoints) -> Retrieval | None:
    """Return how well queries find their answers; None where too few points answer too few queries.

    The vectors are centred first: where all documents lean one way, so do all rankings. Each point
    counts once, since many queries may ask for the same.
    """
    rows = {point: row for row, point in enumerate(points.ids)}
    pairs = _select_pairs(judgements, rows)
    if any(len(np.unique(column)) < _FEWEST_POINTS for column in pairs.T):
        return None
    documents = unit(_centre(points.originals))
    queries = _centre(judgements.query_vectors)[pairs[:, 0]]
    scores = queries @ documents.T
    own_scores = scores[np.arange(len(pairs)), pairs[:, 1]][:, None]
    wins = (scores < own_scores).sum(axis=1) + 0.5 * ((scores == own_scores).sum(axis=1) - 1)
    shares = wins / (len(documents) - 1)
    by_point = np.array([shares[pairs[:, 1] == row].mean() for row in np.unique(pairs[:, 1])])
    mean = float(by_point.mean())
    margin = 2 * float(by_point.std(ddof=1)) / np.sqrt(len(by_point))
    return Retrieval(len(by_point), mean, mean - margin, mean + margin)


def _centre(vectors: NDArray[np.float32]) -> Float64:
    wide = np.asarray(vectors, np.float64)
    centred: Float64 = wide - wide.mean(axis=0)
    return centred


def _select_pairs(judgements: Judgements, rows: dict[PointId, int]) -> NDArray[np.intp]:
    """Return (m, 2): rows of queries and of the points that answer them, a few a point."""
    counts: dict[int, int] = {}
    pairs = []
    for query, point, weight in zip(
        judgements.query_rows.tolist(),
        judgements.point_ids,
        judgements.weights.tolist(),
        strict=True,
    ):
        row = rows.get(point)
        if row is None or weight <= 0 or counts.get(row, 0) >= _QUERIES_PER_POINT:
            continue
        counts[row] = counts.get(row, 0) + 1
        pairs.append((query, row))
    return np.array(pairs, np.intp).reshape(-1, 2)
