"""A feedback source in this process that keeps every promise of the contract; for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from nudge_sync.errors import InputError, SourceUnreachable
from nudge_sync.source import Page, SourceFacts
from nudge_sync.testing.source_world import LoggedOpinion, LoggedSearch

_PAGE_ROWS = 5


class MemorySource:
    """See `nudge_sync.source.FeedbackSource`. The cursor is how many rows were read."""

    def __init__(self, rows: Sequence[dict[str, Any]], *, is_reachable: bool = True) -> None:
        self.rows = rows
        self.is_reachable = is_reachable

    def describe(self) -> SourceFacts:
        """See `FeedbackSource.describe`."""
        self._require_answer()
        return SourceFacts("memory", "1", frozenset())

    def read_pages(self, cursor: str = "") -> Iterator[Page]:
        """See `FeedbackSource.read_pages`."""
        self._require_answer()
        start = self.parse_cursor(cursor)
        for first in range(start, len(self.rows), _PAGE_ROWS):
            rows = self.rows[first : first + _PAGE_ROWS]
            yield Page(rows, json.dumps({"read": first + len(rows)}))

    def close(self) -> None:
        """See `FeedbackSource.close`."""

    def parse_cursor(self, cursor: str) -> int:
        """Return how many rows were read. Raises InputError."""
        try:
            return int(json.loads(cursor)["read"]) if cursor else 0
        except (ValueError, KeyError, TypeError, IndexError):
            raise InputError("a cursor that this source did not give out") from None

    def _require_answer(self) -> None:
        if not self.is_reachable:
            raise SourceUnreachable("nobody answers")


class MemoryWorld:
    """See `SourceWorld`; rows are kept in the order in which they were logged."""

    source_class = MemorySource

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def open(self) -> MemorySource:
        """See `SourceWorld.open`."""
        return self.source_class(self.rows)

    def open_unreachable(self) -> MemorySource:
        """See `SourceWorld.open_unreachable`."""
        return self.source_class([], is_reachable=False)

    def log_searches(self, searches: Sequence[LoggedSearch]) -> None:
        """See `SourceWorld.log_searches`."""
        self.rows += [
            {
                "type": "search",
                "query_id": search.text,
                "query_vector": list(search.vector),
                "text": search.text,
                "shown": list(search.shown),
                "time": search.time,
                "session": search.session,
                "client": search.client,
            }
            for search in searches
        ]

    def log_opinions(self, opinions: Sequence[LoggedOpinion]) -> None:
        """See `SourceWorld.log_opinions`."""
        self.rows += [
            {
                "type": "event",
                "query_id": opinion.search.text,
                "action": "relevant",
                "point": opinion.point,
                "position": opinion.search.shown.index(opinion.point) + 1,
                "grade": opinion.grade,
            }
            for opinion in opinions
            if not opinion.is_from_model
        ]
