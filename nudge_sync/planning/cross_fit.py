"""Cross-fitting: on a small log each fifth of the queries is held out in turn, and scored.

The plan that is written is the one that the first fifth had no part in. For each other fifth
method and angle are chosen and points moved anew, without it, and its queries are scored by the
vectors that come of that. Together they estimate the mean gain of plans made in this way, of which
the one that is written is the first. A fifth without which no point moves tells nothing of a plan
that moves some, and is left out.
"""

from __future__ import annotations

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.base.executor import LOCAL, Executor
from nudge_sync.base.progress import Progress
from nudge_sync.config import SolverSettings
from nudge_sync.planning.dataset import PlanDataset
from nudge_sync.planning.fifths import FifthSplit
from nudge_sync.planning.gate import CrossFittedGains
from nudge_sync.planning.held_out import number_questions
from nudge_sync.solve.fit import fit
from nudge_sync.solve.problem import Choice, Similarity
from nudge_sync.solve.score import metric_values


def solve_split(
    originals: Float32,
    split: FifthSplit,
    settings: SolverSettings,
    cold_share: float | None,
    *,
    similarity: Similarity,
    executor: Executor = LOCAL,
) -> Choice:
    """Choose a method on the training queries of a split, and move the points by it.

    originals: (n, d).  cold_share: None where cold answers are not looked at.
    """
    return fit(
        originals,
        split.train_queries,
        split.folds,
        method=settings.method,
        metric=settings.metric,
        similarity=similarity,
        angle=settings.angle,
        max_angle=settings.max_angle,
        weights=split.weights,
        cold_share=cold_share,
        threads=settings.threads,
        executor=executor,
    )


def cross_fit(
    dataset: PlanDataset,
    choice: Choice,
    settings: SolverSettings,
    cold_share: float | None,
    *,
    similarity: Similarity,
    progress: Progress,
    executor: Executor = LOCAL,
) -> CrossFittedGains | None:
    """Return what the queries of every fifth gain by the vectors that the others chose.

    choice: that of the plan, which the first fifth is scored by. None where it moves nothing, where
    the log is large enough for the first fifth alone, and where no other choice moves any point.
    """
    if not len(choice.moved) or not dataset.other_splits:
        return None
    choices = [choice]
    for number, split in enumerate(dataset.other_splits):
        progress("cross-fit", number, len(dataset.other_splits))
        choices.append(
            solve_split(
                dataset.points.originals,
                split,
                settings,
                cold_share,
                similarity=similarity,
                executor=executor,
            )
        )
    progress("cross-fit", len(dataset.other_splits), len(dataset.other_splits))
    splits = [dataset, *dataset.other_splits]
    pairs = [(split, one) for split, one in zip(splits, choices, strict=True) if len(one.moved)]
    if len(pairs) == 1:
        return None
    return _pool(dataset.points.originals, pairs, settings.metric, similarity)


def _pool(
    originals: Float32, pairs: list[tuple[FifthSplit, Choice]], metric: str, similarity: Similarity
) -> CrossFittedGains:
    """Score the held-out queries of each split by the vectors that were chosen without them."""
    gains = [
        metric_values(choice.vectors, split.held_out_queries, metric, similarity=similarity)
        - metric_values(originals, split.held_out_queries, metric, similarity=similarity)
        for split, choice in pairs
    ]
    return CrossFittedGains(
        np.concatenate(gains),
        number_questions(np.concatenate([split.held_out_queries.vectors for split, _ in pairs])),
        np.concatenate([split.bystanders for split, _ in pairs]),
        len(pairs),
    )
