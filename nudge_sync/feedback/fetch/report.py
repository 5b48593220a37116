"""What came of reading a feedback source."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from nudge_sync.feedback.fetch.model_check import ModelCheck
from nudge_sync.feedback.ingest.report import DOUBTS, ImportReport
from nudge_sync.source import SourceFacts

_COUNTS = ("rows", "searches", "events", "unchanged", "without_search")
_MAX_DETAILS = 20


@dataclass(slots=True)
class FetchReport:
    """Counts over all pages that were read."""

    source: str
    facts: SourceFacts
    pages: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    details: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    doubts: Counter[str] = field(default_factory=Counter)
    unweighted_actions: Counter[str] = field(default_factory=Counter)
    stopped: str = ""
    """Why there is more that was not read; "" where all was."""
    model_check: ModelCheck | None = None
    """Whether the searches are of the collection's model; None if that was not looked at."""

    @property
    def accepted(self) -> int:
        """Number of searches and events that are stored now."""
        return self.counts["searches"] + self.counts["events"]

    @property
    def rejected(self) -> int:
        """Number of rows that were refused."""
        return self.reasons.total()

    def add_page(self, imported: ImportReport) -> None:
        """Add what came of one page."""
        self.pages += 1
        self.counts.update({name: getattr(imported, name) for name in _COUNTS})
        self.reasons.update(imported.reasons)
        self.left_out.update(imported.left_out)
        self.doubts.update(imported.doubts)
        self.unweighted_actions.update(imported.unweighted_actions)
        for reason, details in imported.details.items():
            known = self.details.setdefault(reason, Counter())
            for detail, count in details.items():
                if detail in known or len(known) < _MAX_DETAILS:
                    known[detail] += count

    def count_results(self) -> dict[str, int]:
        """Return how many rows came to what: new, unchanged, or why they were refused."""
        unchanged = self.counts["unchanged"]
        return {"new": self.accepted - unchanged, "unchanged": unchanged, **self.reasons}

    def summary(self) -> dict[str, Any]:
        """Return the fields that `feedback pull --json` prints."""
        return {
            "source": self.source,
            "product": self.facts.product,
            "version": self.facts.version,
            "unknown": sorted(self.facts.unknown),
            "pages": self.pages,
            "accepted": self.accepted,
            "rejected": self.rejected,
            **{name: self.counts[name] for name in _COUNTS},
            "reasons": dict(sorted(self.reasons.items())),
            "details": {reason: dict(names) for reason, names in sorted(self.details.items())},
            "left_out": dict(sorted(self.left_out.items())),
            **{name: self.doubts[name] for name in DOUBTS},
            "unweighted_actions": dict(sorted(self.unweighted_actions.items())),
            "stopped": self.stopped or None,
            "model": self.model_check.summary() if self.model_check else None,
        }
