"""What a ranking gives back, and what a process has counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal, Protocol, TypeAlias

from nudge_sync.connector import PointId
from nudge_sync.feedback.schema.exposure import Arm, Exposure, Team

Fallback: TypeAlias = Literal["", "deadline", "error", "depth", "filter"]
"""Why a list is not the arm's own.

deadline: an answer came too late.  error: something failed.  depth: the application's list was too
short, and nobody could ask for more. In these cases the list is the collection's own. filter: some
points of the arm are missing, because nobody could ask whether the application's filter admits
them.
"""


@dataclass(frozen=True, slots=True)
class Ranked:
    """The results to show, and how the search was logged."""

    results: list[Any]
    """Best first: the application's own results. A point that only the overlay brought in is what
    `admits` returned for it or, without that, a pair of its id and score."""
    ids: list[PointId]
    query_id: str
    """What clicks on the results are logged with."""
    arm: Arm | Literal[""] = ""
    """Which list the search was assigned to; empty where it took part in no experiment."""
    experiment: str = ""
    teams: tuple[Team, ...] = ()
    """For each result whose choice it is; empty unless the list is interleaved."""
    fallback: Fallback = ""
    wanted: int = 0
    """Where the fallback is "depth": how many results to ask for, to be ranked again under the same
    query id. Otherwise 0."""


@dataclass(frozen=True, slots=True)
class ExperimentCounts:
    """Counts of what became of the searches of one process."""

    searches: dict[str, int]
    """By arm; "" are those that took part in no experiment."""
    fallbacks: dict[str, int]
    """By reason."""
    failed_looks: int
    """Looks at the database for the experiment that failed."""
    last_error: str
    """The last error of a look or of a ranking; empty if there was none."""


class ExposureLog(Protocol):
    """Where searches are logged; `FeedbackLog` is one."""

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
        """Take a search, and return its query id; never raises and never waits."""
        ...


@dataclass(slots=True)
class RankingTally:
    """Counts that several threads add to."""

    searches: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    last_error: str = ""
    _lock: Lock = field(default_factory=Lock)

    def add(self, ranked: Ranked) -> None:
        """Count one ranking."""
        with self._lock:
            self.searches[ranked.arm] += 1
            if ranked.fallback:
                self.fallbacks[ranked.fallback] += 1
