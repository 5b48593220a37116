"""A query adapter learned from a collection's own feedback, and its proof on the live index."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.base.threads import limit_threads
from nudge_sync.config import CollectionSettings
from nudge_sync.errors import InputError
from nudge_sync.evaluate.adapters.adapter_task import build_adapter_task
from nudge_sync.evaluate.sources.collection import build_collection_task
from nudge_sync.feedback.judgements import Judgements, load_judgements
from nudge_sync.planning.fifths import find_bystanders
from nudge_sync.planning.gate import Gate, HeldOutScores, check_gate
from nudge_sync.planning.held_out import (
    HELD_OUT_SHARE,
    average_scores,
    build_relevance,
    hash_queries,
    number_questions,
    score_live_queries,
    select_present_held_out,
)
from nudge_sync.solve.problem import ColdReport, GainEstimate
from nudge_sync.store.target import Target
from nudge_sync.tuning.adapter_learning import LearnedAdapter, learn_query_adapter
from nudge_sync.tuning.adapter_maps import AdapterTask
from nudge_sync.tuning.adapter_validation import measure_cold_answers
from nudge_sync.tuning.query_adapter import QueryAdapter


@dataclass(frozen=True)
class AdapterProof:
    """What a query adapter does to held-out queries, searched for on the live index."""

    collection: str
    metric: str
    adapter: QueryAdapter | None
    """The adapter that was measured; None where none was found worth measuring."""
    gate: Gate
    before: dict[str, float]
    """The mean of each metric over the held-out queries as they were logged."""
    after: dict[str, float]
    cold: ColdReport | None = None
    """What it does to held-out answers with and without feedback; None where nobody looked."""
    learned: LearnedAdapter | None = None
    """How it was learned; None for one that was given."""

    def summary(self) -> dict[str, Any]:
        """Return the fields of `query-adapter --json`, but for the file."""
        strength = self.learned.strength if self.learned else None
        return {
            "collection": self.collection,
            "metric": self.metric,
            "version": self.adapter.version if self.adapter else None,
            "parameters": {}
            if strength is None
            else {
                "shrinkage": strength.shrinkage if np.isfinite(strength.shrinkage) else None,
                "step": strength.step,
            },
            "reason": self.learned.reason if self.learned else "",
            "before": self.before,
            "after": self.after,
            "cold": None
            if self.cold is None
            else {"warm": _to_dict(self.cold.warm), "cold": _to_dict(self.cold.cold)},
            "gate": self.gate.summary(),
        }


def _to_dict(gain: GainEstimate) -> dict[str, Any]:
    """Return a gain as JSON holds it; without an interval where too few queries tell."""
    interval = (gain.low, gain.high) if gain.is_known else (None, None)
    return {"mean": gain.mean, "low": interval[0], "high": interval[1], "queries": gain.queries}


def learn_from_collection(
    target: Target,
    settings: CollectionSettings,
    *,
    exact: bool = False,
    progress: Progress = ignore_progress,
) -> AdapterProof:
    """Learn an adapter from all queries but the held-out fifth, and measure it on that.

    Learned from the originals, since what moved was moved for the very queries that the map would
    be judged by; measured on the vectors that are live, and what it does to documents without
    feedback beside those that moved. Rivals are the unjudged points that rank near each query as it
    was logged. Logged vectors are taken for those of the embedding model, before any adapter.
    exact: search past the approximate index where the database can.
    Nothing is written. Raises InputError where no query has an answer, DatabaseError,
    DamagedRecord.
    """
    judgements = load_judgements(target, settings, progress)
    task = build_collection_task(target, judgements, read_all=False, exact=exact, progress=progress)
    is_held_out = hash_queries(task.queries) < HELD_OUT_SHARE
    train, held_out = (
        build_adapter_task(task, np.flatnonzero(mask), settings.solver.metric, task.live_documents)
        for mask in (~is_held_out, is_held_out)
    )
    progress("learn", 0, 1)
    with limit_threads(settings.solver.threads):
        learned = learn_query_adapter(train)
        cold = _measure_cold(settings, train, held_out, learned)
    progress("learn", 1, 1)
    proof = _measure(
        target, settings, judgements, learned.adapter, cold=cold, exact=exact, progress=progress
    )
    if learned.adapter is None:
        gate = replace(proof.gate, passed=False, reasons=[learned.reason])
        return replace(proof, gate=gate, learned=learned)
    details = {
        "collection": target.name,
        "learned_from": len(train.queries),
        **_describe_proof(proof),
    }
    adapter = QueryAdapter(learned.adapter.matrix, learned.adapter.offset, details)
    return replace(proof, adapter=adapter, learned=learned)


def prove_adapter(
    target: Target,
    settings: CollectionSettings,
    adapter: QueryAdapter,
    *,
    exact: bool = False,
    progress: Progress = ignore_progress,
) -> AdapterProof:
    """Measure an adapter that exists on the held-out queries of today, on the vectors of today.

    Nothing is written. Raises InputError where it is for another dimension, DatabaseError.
    """
    if adapter.dimension != target.facts.dimension:
        raise InputError(
            f'the adapter is for {adapter.dimension} dimensions and "{target.name}" has '
            f"{target.facts.dimension}; learn one for this collection"
        )
    judgements = load_judgements(target, settings, progress)
    return _measure(target, settings, judgements, adapter, exact=exact, progress=progress)


def _measure_cold(
    settings: CollectionSettings,
    train: AdapterTask,
    held_out: AdapterTask,
    learned: LearnedAdapter,
) -> ColdReport | None:
    """Return what the map does to held-out answers whose documents have no feedback.

    None where there is no map, or where the settings say not to look.
    """
    if learned.adapter is None or learned.strength is None:
        return None
    if settings.solver.cold_share in {"off", 0}:
        return None
    return measure_cold_answers(train, held_out, learned.strength, settings.gate.confidence)


def _measure(
    target: Target,
    settings: CollectionSettings,
    judgements: Judgements,
    adapter: QueryAdapter | None,
    *,
    cold: ColdReport | None = None,
    exact: bool,
    progress: Progress,
) -> AdapterProof:
    held_out = select_present_held_out(target, judgements)
    before = score_live_queries(target, held_out, exact=exact, progress=progress)
    after = before
    if adapter is not None:
        adapted = replace(held_out, vectors=adapter(held_out.vectors))
        after = score_live_queries(target, adapted, exact=exact, progress=progress)
    metric = settings.solver.metric
    is_train = hash_queries(judgements.query_vectors) >= HELD_OUT_SHARE
    train_relevance = build_relevance(judgements)[1][is_train]
    scores = HeldOutScores(
        number_questions(held_out.vectors),
        before[metric],
        before[metric],
        after[metric],
        find_bystanders(train_relevance, held_out.relevance),
    )
    # What the gate asks of a plan that moves no point.
    gate = check_gate(
        scores,
        settings.gate,
        method="query-adapter",
        moved_count=0,
        point_count=1,
        cold_report=cold,
    )
    return AdapterProof(
        target.name,
        metric,
        adapter,
        gate,
        average_scores(before),
        average_scores(after),
        cold,
    )


def _describe_proof(proof: AdapterProof) -> dict[str, Any]:
    return {
        "metric": proof.metric,
        "before": proof.before,
        "after": proof.after,
        "gate": proof.gate.summary(),
    }
