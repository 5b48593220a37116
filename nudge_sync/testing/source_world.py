"""What the conformance kit of feedback sources logs, and what a product has to offer for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nudge_sync.source import FeedbackSource


@dataclass(frozen=True, slots=True)
class LoggedSearch:
    """A search as an application knows it."""

    text: str
    """Unlike that of any other search of a test."""
    vector: tuple[float, ...]
    shown: tuple[str, ...]
    """The ids of the points shown, best first."""
    time: float
    """Seconds since 1970."""
    session: str
    client: str


@dataclass(frozen=True, slots=True)
class LoggedOpinion:
    """What a person thought of one result of a search that was logged before."""

    search: LoggedSearch
    point: str
    """One of those shown."""
    grade: float
    is_from_model: bool = False
    """Whether a model judged, not a person."""


class SourceWorld(Protocol):
    """One product with nothing in it, filled by its own client, so that no source checks itself."""

    def open(self) -> FeedbackSource:
        """Return the source, connected to the product."""
        ...

    def open_unreachable(self) -> FeedbackSource:
        """Return the source, connected to nothing that answers."""
        ...

    def log_searches(self, searches: Sequence[LoggedSearch]) -> None:
        """Log searches; they can be read when this returns."""
        ...

    def log_opinions(self, opinions: Sequence[LoggedOpinion]) -> None:
        """Log opinions; they can be read when this returns."""
        ...
