"""A trial of what nudging costs documents without feedback: what is hidden, learned, scored."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from common.solver_protocol import Dataset
from common.transport import transport_neighbours
from nudge_sync import finetune

KINDS = ("all", "warm", "cold")
DEPTH = 10
COLD_METHODS = ("nudge-h", "nudge-c")
"""Methods that are tuned with a cold share, as those are whose name ends so."""
TRANSPORT_SUFFIX = "+transport"
"""Ends the name of a method whose moves are then shared with unjudged neighbours."""


@dataclass(frozen=True)
class ColdResult:
    """What a method did in one trial."""

    scores: np.ndarray
    """Mean NDCG@10 of the held-out queries, in percent, on all, warm and cold answers."""
    seconds: float
    """Of the processor, for `finetune` alone; whatever else the machine does."""
    written: int
    """Number of points that moved."""
    chosen: str
    report: object | None
    """What `Fit.cold` says."""


@dataclass(frozen=True)
class ColdTrial:
    data: Dataset
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    is_cold: np.ndarray

    @classmethod
    def draw(cls, data: Dataset, seed: int, hidden: float, unlabelled: bool) -> ColdTrial:
        """Split queries 70, 10 and 20 %, and hide this share of the judged documents."""
        random = np.random.default_rng(seed)
        order = random.permutation(len(data.queries))
        first, second = int(0.7 * len(order)), int(0.8 * len(order))
        judged = np.unique(data.relevance.indices)
        is_cold = np.zeros(len(data.documents), bool)
        is_cold[random.choice(judged, int(hidden * len(judged)), False)] = True
        trial = cls(data, order[:first], order[first:second], order[second:], is_cold)
        has_warm = np.asarray((trial.select_answers(False) > 0).sum(axis=1)).ravel() > 0
        train, validation = (
            rows if unlabelled else rows[has_warm[rows]] for rows in (trial.train, trial.validation)
        )
        return cls(data, train, validation, trial.test, is_cold)

    def select_answers(self, cold: bool) -> csr_matrix:
        return csr_matrix(self.data.relevance.multiply(self.is_cold == cold))

    def run(self, method: str, cold_share: float | None) -> ColdResult:
        """Fine-tune by a method, e.g. "nudge-n", "auto", "auto-cold" or "auto-cold+transport"."""
        if method == "nothing":
            return ColdResult(self.score(self.data.documents), 0.0, 0, "", None)
        base = method.removesuffix(TRANSPORT_SUFFIX)
        counts_cold = base in COLD_METHODS or base.endswith("-cold")
        warm = Dataset(self.data.documents, self.data.queries, self.select_answers(False))
        start = time.process_time()
        fit = finetune(
            warm.documents,
            warm.queries[self.train],
            [drop_zeros(one) for one in warm.relevant(self.train)],
            warm.queries[self.validation],
            [drop_zeros(one) for one in warm.relevant(self.validation)],
            base.removesuffix("-cold"),
            cold_share=cold_share if counts_cold else None,
        )
        seconds = time.process_time() - start
        documents, written = fit.documents, len(fit.moved)
        if method != base:
            asked = np.concatenate([self.train, self.validation])
            judged = np.unique(self.select_answers(False)[asked].nonzero()[1])
            documents, carried = transport_neighbours(
                self.data.documents, documents, fit.moved, judged, self.data.queries[asked]
            )
            written += len(carried)
        settings = {
            name: round(value, 3)
            for name, value in fit.parameters.items()
            if name in {"angle", "neighbours", "prior", "cold_answers"}
        }
        chosen = f"{fit.method} {settings}"
        return ColdResult(self.score(documents), seconds, written, chosen, fit.cold)

    def score(self, documents: np.ndarray) -> np.ndarray:
        """Mean NDCG@10 of the held-out queries on all, warm and cold answers, in percent."""
        return np.array([100 * self._score_kind(documents, kind) for kind in KINDS])

    def _score_kind(self, documents: np.ndarray, kind: str) -> float:
        relevance = self.data.relevance if kind == "all" else self.select_answers(kind == "cold")
        discounts, values = 1 / np.log2(np.arange(2, DEPTH + 2)), [np.empty(0)]
        for low in range(0, len(self.test), 256):
            rows = self.test[low : low + 256]
            grades = relevance[rows].toarray()
            scores = self.data.queries[rows] @ documents.T
            scores[(self.data.relevance[rows].toarray() != 0) & (grades == 0)] = -np.inf
            top = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
            gains = np.take_along_axis(grades, top, axis=1) @ discounts
            ideal = -np.sort(-grades, axis=1)[:, :DEPTH] @ discounts
            values.append(gains[ideal > 0] / ideal[ideal > 0])
        joined = np.concatenate(values)
        return float(joined.mean()) if len(joined) else np.nan


def drop_zeros(grades: dict) -> dict:
    return {row: grade for row, grade in grades.items() if grade}


def unit_rows(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
