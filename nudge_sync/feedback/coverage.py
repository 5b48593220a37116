from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nudge_sync.feedback.judgements import Judgements


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many points of a collection have evidence: a judgement that pulls."""

    judged_points: int
    points: int
    """In the collection, or nearly."""

    @property
    def share(self) -> float:
        """From 0 to 1, also where judged points were deleted since."""
        return min(1.0, self.judged_points / self.points) if self.points else 0.0

    def summary(self) -> dict[str, Any]:
        """The fields that `--json` prints."""
        return {"judged": self.judged_points, "points": self.points, "coverage": self.share}

    def __str__(self) -> str:
        return (
            f"{self.judged_points} of {self.points} points ({self.share:.1%}) have evidence; "
            "the others are left as they are"
        )


def measure_coverage(judgements: Judgements, points: int) -> Coverage:
    """The coverage of a collection with so many points."""
    pairs = zip(judgements.point_ids, judgements.weights.tolist(), strict=True)
    return Coverage(len({id_ for id_, weight in pairs if weight > 0}), points)
