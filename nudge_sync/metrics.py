"""NDCG@k, recall@k and MRR@k, over ranked gains and over vectors.

A document's gain is its grade where that is above zero, else 0: trec_eval's `ndcg_cut` with the
grades as gains. `recall@k` divides by min(relevant, k), as the NUDGE paper does, so that 1 can be
reached. Of documents with equal scores the unjudged ones rank first, then those with the smaller
rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float64
from nudge_sync.errors import InputError

MetricKind: TypeAlias = Literal["ndcg", "recall", "mrr"]
MetricName: TypeAlias = Literal["ndcg@10", "recall@10", "recall@1", "mrr@10"]
METRIC_NAMES: tuple[MetricName, ...] = get_args(MetricName)
"""The metrics that a collection is measured by."""
RANKING_DEPTH = 10
"""The lowest rank that any of `METRIC_NAMES` looks at."""


@dataclass(frozen=True, slots=True)
class RankingMetric:
    """A metric of a ranking: its kind, and the lowest rank that it looks at."""

    kind: MetricKind
    depth: int

    def __str__(self) -> str:
        return f"{self.kind}@{self.depth}"

    def discounts(self) -> Float64:
        """Return the factor of each rank, (depth + 1,): from rank 1 to `depth`, then 0 beyond."""
        ranks = np.arange(1, self.depth + 1)
        discounts = {
            "ndcg": 1 / np.log2(ranks + 1),
            "recall": np.ones(self.depth),
            "mrr": 1 / ranks,
        }[self.kind]
        return np.append(discounts, 0.0)

    def gains(self, grades: NDArray[Any]) -> Float64:
        """Return what finding a document of each grade is worth, before the rank's discount."""
        relevant = np.asarray(grades) > 0
        return np.where(relevant, grades, 0.0) if self.kind == "ndcg" else relevant.astype(float)


def parse_metric(name: str) -> RankingMetric:
    """Return the metric called `name`, such as "ndcg@10", "recall@100" or "mrr@10".

    Raises InputError for any other name.
    """
    match = re.fullmatch(r"(ndcg|recall|mrr)@([1-9][0-9]{0,3})", str(name))
    if match is None:
        raise InputError(f"no metric is called {name!r}; take ndcg@10, recall@10, recall@1, mrr@10")
    return RankingMetric(cast("MetricKind", match[1]), int(match[2]))
