"""The classes of the `nudge-ft` package, by the same names and arguments, without torch.

`from nudge_sync.nudge_ft import NUDGEN, NUDGEM` in place of `from nudge import NUDGEN, NUDGEM`.
At a given `gamma` the result is that package's within 1e-6, except where its own is NaN (a document
that nearly equals its pull). Without one, the angle or step is chosen exactly for recall@`val_k`
instead of on a grid of 25 squared radii, and a validation query without answers is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32
from nudge_sync.solve.geometry import lengths, unit
from nudge_sync.solve.problem import Method
from nudge_sync.tuning.finetune import FinetuneOptions, finetune_documents
from nudge_sync.tuning.inputs import QuerySet

__all__ = ["NUDGEM", "NUDGEN", "QueriesAnswersDict"]

MAX_RADIUS_ANGLE = float(np.arccos(1 - 0.5 / 2))
"""The angle of the largest squared radius that nudge-ft tries (0.48), rounded up to 0.5."""


class QueriesAnswersDict(TypedDict):
    """Queries and, for each, the rows of the documents that answer it."""

    q_embs: Float32
    """(q, d)."""
    q_ans_indx: Sequence[Sequence[int]]
    """One entry a query."""


def _finetune(
    method: Method,
    embeddings: NDArray[Any],
    train_set: QueriesAnswersDict,
    val_set: QueriesAnswersDict,
    nontrain_embeddings: NDArray[Any] | tuple[NDArray[Any] | None, Any] | None,
    metric: str,
    angle: float | None,
) -> Float32:
    fixed_documents = nontrain_embeddings
    if isinstance(fixed_documents, tuple):
        fixed_documents = fixed_documents[0]
    queries = np.asarray(train_set["q_embs"])
    fit = finetune_documents(
        unit(np.asarray(embeddings)).astype(np.float32),
        # nudge-ft sums the queries as they are. Here they are scaled to unit length, so that each
        # takes its length as its weight.
        QuerySet(queries, train_set["q_ans_indx"], lengths(queries)),
        QuerySet(val_set["q_embs"], val_set["q_ans_indx"]),
        FinetuneOptions(
            method, metric, angle, "dot" if method == "nudge-m" else "cosine", MAX_RADIUS_ANGLE
        ),
        fixed_documents=None
        if fixed_documents is None
        else unit(np.asarray(fixed_documents)).astype(np.float32),
    )
    return np.array(fit.documents)


class NUDGEN:
    """NUDGE-N, which turns documents towards the queries they answer, each by at most one angle."""

    def __init__(self, device: Any = None) -> None:
        self.device = device
        """Taken for compatibility; everything runs on the CPU."""

    def finetune_embeddings(
        self,
        embeddings: NDArray[Any],
        train_set: QueriesAnswersDict,
        val_set: QueriesAnswersDict,
        nontrain_embeddings: NDArray[Any] | None = None,
        val_batch_size: int = 256,  # noqa: ARG002
        val_k: int = 1,
        gamma: float | None = None,
    ) -> Float32:
        """Return the documents, scaled to unit length and turned: (n, d) float32.

        embeddings: (n, d).  nontrain_embeddings: documents that answer no query; not returned.
        val_k: the angle is the best for recall@val_k.  gamma: the squared radius, if given.
        val_batch_size: taken for compatibility and not used.
        """
        angle = None if gamma is None else float(np.arccos(1 - gamma / 2))
        return _finetune(
            "nudge-n", embeddings, train_set, val_set, nontrain_embeddings, f"recall@{val_k}", angle
        )


class NUDGEM:
    """NUDGE-M, which moves documents by one step along their pull, for search by dot product."""

    def __init__(self, device: Any = None) -> None:
        self.device = device
        """Taken for compatibility; everything runs on the CPU."""

    def finetune_embeddings(
        self,
        embeddings: NDArray[Any],
        train_set: QueriesAnswersDict,
        val_set: QueriesAnswersDict,
        nontrain_embeddings: NDArray[Any] | None = None,
        val_batch_size: int = 256,  # noqa: ARG002
        gamma: float | None = None,
    ) -> Float32:
        """Return the documents, scaled to unit length, each plus a step along its pull.

        Returns (n, d) float32.
        embeddings: (n, d).  nontrain_embeddings: documents that answer no query; not returned.
        gamma: the step, if given; else the best for the share of queries whose first document is
        an answer. val_batch_size: taken for compatibility and not used.
        """
        return _finetune(
            "nudge-m", embeddings, train_set, val_set, nontrain_embeddings, "recall@1", gamma
        )
