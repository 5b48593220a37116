"""Which points asked for a point, where NUDGE-C let them (see `nudge_sync.solve.co_relevance`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from nudge_sync.connector import PointId
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.planning.held_out import HELD_OUT_SHARE, hash_queries
from nudge_sync.planning.judgement_matrices import build_judgement_matrices
from nudge_sync.solve.co_relevance import find_co_relevant_points
from nudge_sync.solve.task import build_attraction
from nudge_sync.store.ledger import find_head
from nudge_sync.store.provenance import ClassifiedPoints
from nudge_sync.store.target import Target


@dataclass(frozen=True, slots=True)
class AskingPoint:
    """One point that asked for another, which answers queries together with it."""

    point: PointId
    share: float
    """Its weight, as a share of the weights of all points that asked for the other."""


def find_asking_points(
    target: Target, judgements: Judgements, points: ClassifiedPoints, row: int
) -> list[AskingPoint]:
    """Return the points that asked for the one in `row`, the heaviest first.

    Empty where the live revision was made without co-relevance.
    Raises DatabaseError, DamagedRecord.
    """
    if row >= len(points.ids) or not _let_points_ask(target):
        return []
    matrices = build_judgement_matrices(judgements, points.ids, points.originals)
    trains = hash_queries(judgements.query_vectors) >= HELD_OUT_SHARE
    attraction = build_attraction(matrices.relevance, matrices.train_weights)
    shares = find_co_relevant_points(csr_matrix(attraction.multiply(trains[:, None])))
    weights = shares[:, [row]].toarray().ravel()
    order = np.argsort(-weights, kind="stable")[: np.count_nonzero(weights)]
    return [AskingPoint(points.ids[one], float(weights[one] / weights.sum())) for one in order]


def _let_points_ask(target: Target) -> bool:
    """Return whether the revision that the collection holds was made with co-relevance."""
    entries = target.open_ledger().entries()
    head = find_head(entries)
    plans = [entry.details.plan for entry in entries if entry.number == head]
    return any(plan.get("parameters", {}).get("co_relevance") for plan in plans)
