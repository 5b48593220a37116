"""The demo's visitors: they see a canary's lists, and click what answers their request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nudge_sync.base.progress import Progress
from nudge_sync.canary.ending import Step
from nudge_sync.canary.review import review
from nudge_sync.config import CollectionSettings
from nudge_sync.demo.requests import Requests
from nudge_sync.experiment.experiment import Experiment
from nudge_sync.experiment.ranked import Ranked
from nudge_sync.feedback.schema.exposure import Exposure
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.store.target import Target

VISITORS_PER_REVIEW = 25
MOST_VISITORS = 1000
_DEPTH = 10
_SESSION_SECONDS = 3600.0
"""So much later a visit is over, and counts."""
_PATIENCE_SECONDS = 30.0
"""These visitors wait, however busy the machine is."""


@dataclass(frozen=True)
class VisitorsReview:
    """What a review of the canary saw after some visitors, and what it did."""

    visitors: int
    effect: float
    low: float
    high: float
    """The effect of the plan and its interval: the share of clicks that the plan's results got,
    less that of the collection's."""
    step: Step
    reason: str

    def summary(self) -> dict[str, Any]:
        """Return the fields that `demo --json` shows."""
        return {
            "visitors": self.visitors,
            "effect": round(self.effect, 4),
            "interval": [round(self.low, 4), round(self.high, 4)],
            "step": self.step,
        }


@dataclass
class _VisitorLog:
    """Keeps what visitors searched and clicked until it is stored."""

    searches: list[Search] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def search(
        self,
        query_vector: Any,
        shown_ids: Any,
        *,
        text: str = "",
        session: str = "",
        client: str = "",
        query_id: str = "",
        exposure: Exposure | None = None,
    ) -> str:
        """See `ExposureLog.search`; each visitor searches once."""
        query_id = query_id or session
        self.searches.append(
            Search(
                query_id,
                np.asarray(query_vector, np.float32),
                text=text,
                timestamp=time.time(),
                shown=tuple(shown_ids),
                session_id=session,
                client_id=client,
                exposure=exposure,
            )
        )
        return query_id

    def store(self, target: Target) -> None:
        """Store what was logged, and forget it."""
        target.queries.put([to_search_record(search) for search in self.searches])
        target.events.put([to_event_record(event) for event in self.events])
        self.searches.clear()
        self.events.clear()


def show_to_visitors(
    target: Target, settings: CollectionSettings, requests: Requests, progress: Progress
) -> list[VisitorsReview]:
    """Let visitors search for the requests until the canary ends, and return all reviews of it.

    A visitor looks at the result of rank r with a chance of 1 / r, and clicks what answers.
    """
    rng, log = np.random.default_rng(0), _VisitorLog()
    reviews: list[VisitorsReview] = []
    with Experiment(
        target.database, target.name, log=log, deadline=_PATIENCE_SECONDS
    ) as experiment:
        experiment.refresh()
        for visitor in range(1, MOST_VISITORS + 1):
            row = int(rng.integers(len(requests.names)))
            ranked = experiment.search(
                requests.vectors[row], _DEPTH, text=requests.names[row], session=f"visitor{visitor}"
            )
            log.events += _click(ranked, requests.answers[row], rng)
            if visitor % VISITORS_PER_REVIEW == 0:
                progress("visitors", visitor, MOST_VISITORS)
                log.store(target)
                reviews.append(_review(target, settings, visitor))
                if reviews[-1].step != "none":
                    break
    return reviews


def _click(ranked: Ranked, answers: frozenset[int], rng: np.random.Generator) -> Sequence[Event]:
    """Return the clicks of one visitor on the results that were shown."""
    return [
        Event(ranked.query_id, "click", id_, position=rank, timestamp=time.time())
        for rank, id_ in enumerate(ranked.ids, 1)
        if id_ in answers and rng.random() < 1 / rank
    ]


def _review(target: Target, settings: CollectionSettings, visitors: int) -> VisitorsReview:
    report = review(target, settings, now=time.time() + _SESSION_SECONDS)
    decision = report.status.decision
    effect = decision.evidence.effect if decision and decision.evidence else None
    return VisitorsReview(
        visitors,
        effect.estimate if effect else 0.0,
        effect.low if effect else -1.0,
        effect.high if effect else 1.0,
        report.step,
        report.reason or (decision.reason if decision else ""),
    )
