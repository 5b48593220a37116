"""What a plan is: what it was made from, its figures, the gate's verdict, and the rows to write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nudge_sync.base.arrays import Float32
from nudge_sync.connector import PointId
from nudge_sync.connector.point_ids import summarise_ids
from nudge_sync.errors import StalePlan
from nudge_sync.feedback.blocks.counts import BlockCounts
from nudge_sync.planning.gate import Gate
from nudge_sync.planning.model_change import ModelReport


@dataclass(frozen=True)
class PlanInputs:
    """What a plan was made from. A plan is stale once any of it has changed."""

    collection: str
    """The real collection, not an alias."""
    head: int
    """The revision that the collection held."""
    feedback_digest: str
    """Of the judgements, and of how often feedback was removed."""
    settings_digest: str
    """Of the settings that decide where points go."""

    def find_changes(self, current: PlanInputs) -> list[str]:
        """Return the names of what differs in `current`, in words for people."""
        pairs = {
            "collection": (self.collection, current.collection),
            "revision": (self.head, current.head),
            "feedback": (self.feedback_digest, current.feedback_digest),
            "settings": (self.settings_digest, current.settings_digest),
        }
        return [name for name, (planned, now) in pairs.items() if planned != now]


@dataclass(frozen=True)
class GainFigures:
    """A mean gain over the originals with its interval, on answers of one kind."""

    mean: float
    low: float | None
    high: float | None
    """None where too few queries tell."""
    queries: int
    """How many held-out queries it was measured on."""


@dataclass(frozen=True)
class ColdFigures:
    """What a change does to answers with feedback and without."""

    share: float
    """How much answers without feedback counted in the choice, 0 to 1."""
    source: str
    """Where that comes from: the "log", the "settings", or "assumed"."""
    warm: GainFigures | None
    """On answers with feedback; None where nothing moves."""
    cold: GainFigures | None
    """On answers whose feedback was hidden; None where nothing moves."""


@dataclass(frozen=True)
class RecallFigures:
    """How much of what is near a query the database's index finds."""

    share: float
    """Of the best unjudged points of a query, how many it found; the mean over the sample."""
    queries: int
    """How many queries were sampled."""
    reference: str
    """What it was compared with: an "exact" search, or the best of a "wide" one."""
    warning: str
    """What is wrong and what to do, a sentence or two; "" where nothing is."""


@dataclass(frozen=True)
class PlanFigures:
    """What a plan says about itself; the ledger keeps it too, under these names."""

    metric: str
    """The metric that the gate goes by."""
    method: str
    parameters: dict[str, Any]
    """What the solver chose."""
    scores: dict[str, float]
    """Candidate -> its mean score on validation queries."""
    reasons: list[str]
    """Why the solver chose so, each a sentence."""
    judged: int
    """Points with at least one judgement."""
    queries: dict[str, int]
    """How many queries chose, were held out, were left out and why, or are not known in full."""
    before: dict[str, float]
    after: dict[str, float]
    originals: dict[str, float]
    """Means of every metric over the held-out queries: with the live vectors, with the planned
    ones, with the originals."""
    found: dict[str, float]
    """Means of every metric through the live index, when the plan was made."""
    cold: ColdFigures | None = None
    """None where answers without feedback were not looked at."""
    index_recall: RecallFigures | None = None
    """None where the index was not asked for unjudged points."""


@dataclass(frozen=True)
class PlanRows:
    """The points to write, row by row."""

    ids: list[PointId]
    vectors: Float32
    """(n, d): what each point shall hold."""
    live_digests: list[str]
    """The digest of what each point held when the plan was made."""
    angles: list[float]
    """How far each point will be from its original, in radians."""
    live_vectors: Float32 | None = None
    """(n, d): what each point held; None for a plan from a file, which keeps only digests."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Plan:
    """What a cycle would write, what it is expected to gain, and whether it may."""

    inputs: PlanInputs
    inputs_digest: str
    """Digest of all that decides where points go, the originals included, but for the answers of
    the index."""
    figures: PlanFigures
    gate: Gate
    rows: PlanRows
    drifted: list[PointId] = field(default_factory=list)
    """Points that the application re-embedded since they were moved."""
    missing: list[PointId] = field(default_factory=list)
    """Points that no longer exist."""
    model: ModelReport | None = None
    """Whether documents and feedback are of one embedding model; None for a plan from a file."""
    block_counts: BlockCounts | None = None
    """How the log was read; None for a plan from a file, and where blocks are not used."""

    def summarise_model(self) -> dict[str, Any] | None:
        """Return the `model` field of `plan` and `apply --json`; a plan file does not keep it."""
        return None if self.model is None else self.model.summary()

    def summarise_blocks(self) -> dict[str, int] | None:
        """Return the `blocks` field of `plan` and `apply --json`; a plan file does not keep it."""
        return None if self.block_counts is None else self.block_counts.summary()

    def summary(self) -> dict[str, Any]:
        """Return the fields of `plan --json` that the plan alone decides."""
        figures = self.figures
        return {
            "collection": self.inputs.collection,
            "method": figures.method,
            "parameters": figures.parameters,
            "metric": figures.metric,
            "judged": figures.judged,
            "moved": len(self.rows),
            "queries": figures.queries,
            "before": figures.before,
            "after": figures.after,
            "originals": figures.originals,
            "found": figures.found,
            "scores": figures.scores,
            "reasons": figures.reasons,
            "largest_angle": max(self.rows.angles, default=0.0),
            "gate": self.gate.summary(),
            "cold": None if figures.cold is None else asdict(figures.cold),
            "index_recall": (
                None if figures.index_recall is None else asdict(figures.index_recall)
            ),
            **summarise_ids(drifted=self.drifted, missing=self.missing),
        }


def refuse_stale_plan(plan: Plan, current: PlanInputs) -> None:
    """Raise StalePlan, naming what changed, unless the plan was made from `current`."""
    changes = plan.inputs.find_changes(current)
    if changes:
        raise StalePlan(f"since the plan was made changed: {', '.join(changes)}; plan again")


def round_figures(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the figures rounded to six places, as they are shown and kept."""
    return {name: round(float(value), 6) for name, value in figures.items()}
