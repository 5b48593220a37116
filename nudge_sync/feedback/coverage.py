"""How many points of a collection have evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nudge_sync.base.text.percent import format_percent
from nudge_sync.feedback.judgements import Judgements


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many points of a collection have evidence, which is a judgement with a weight above 0."""

    judged_points: int
    points: int
    """In the collection, as the database counts them."""

    @property
    def share(self) -> float:
        """The share of points with evidence, at most 1 although judged points may be gone since."""
        return min(1.0, self.judged_points / self.points) if self.points else 0.0

    def summary(self) -> dict[str, Any]:
        """Return the fields that `--json` prints."""
        return {"judged": self.judged_points, "points": self.points, "coverage": self.share}

    def __str__(self) -> str:
        share = format_percent(self.share, 1)
        return (
            f"{self.judged_points} of {self.points} points ({share}) have evidence; "
            "the others are left as they are"
        )


def measure_coverage(judgements: Judgements, points: int) -> Coverage:
    """Return the coverage of a collection with `points` points by the judgements."""
    pairs = zip(judgements.point_ids, judgements.weights.tolist(), strict=True)
    return Coverage(len({id_ for id_, weight in pairs if weight > 0}), points)
