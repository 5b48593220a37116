"""What a feedback source has to do for nudge-sync. Each promise stands here alone.

A source is a package with a function from a section to a FeedbackSource, registered under the
entry-point group `nudge_sync.feedback_sources`. The section is one `[[feedback.sources]]` table of
the TOML file without the keys that the core reads; secrets come from environment variables.
Sources are synchronous. They translate their client's exceptions into SourceError and
SourceUnreachable (the client's own as `__cause__`) and stop there: no retries, no logging. They
wait only where a server asks to be left alone for a while (429, with Retry-After), and for a few
minutes at most. `nudge_sync.testing.source_conformance` is the kit that every source has to
pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

Row: TypeAlias = Mapping[str, Any]
"""A search or an event, by the names of fields in docs/feedback/format.md."""
UnknownField: TypeAlias = Literal[
    "query_vector", "text", "shown", "rank", "time", "session", "client"
]
"""What a source may be unable to say of a search or an event."""
MACHINE_PREFIX = "machine_"
"""Begins the actions of what models and programs judge, apart from people's: `machine_relevant` of
a document, `machine_thumb` of an answer."""
MAX_PAGE_ROWS = 10_000
"""The most rows in a page."""
MAX_CURSOR_LENGTH = 10_000
"""The most characters of a cursor."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a source reads from, and what it cannot know."""

    product: str
    """The name of what it reads from, for people."""
    version: str
    """The version as the product reports it; "" if it reports none."""
    unknown: frozenset[UnknownField]
    """What no row of this source ever has; any other field may be missing in a single row."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and where to go on after them."""

    rows: Sequence[Row]
    """At most `MAX_PAGE_ROWS`. A search comes before or with the first event on it."""
    cursor: str
    """Where to go on once these rows are stored: not empty, at most `MAX_CURSOR_LENGTH`
    characters, and of no meaning to anyone but the source."""


@runtime_checkable
class FeedbackSource(Protocol):
    """Searches and events that are kept somewhere else; only read."""

    def describe(self) -> SourceFacts:
        """Return what is read, and what it cannot know.

        Raises SourceUnreachable, or SourceError where what is asked for is not there.
        """
        ...

    def read_pages(self, cursor: str = "") -> Iterator[Page]:
        """Yield every row that was not read when `cursor` was given out, in pages.

        cursor: that of a page of this source, perhaps of another process; "": from the beginning.
        A cursor that no page had raises InputError. What was logged late, such as an opinion on a
        search of last week, comes in a later page. A row may come again, and is then the same to
        the last bit, since rows are stored by their content; but not everything comes again. The
        pages end when nothing is left; the last one may have no rows.

        A query id names one search of the source, wherever it is read; point ids are those that
        the product logged; a position counts from 1 at the top; a moment is when a thing happened,
        not when it was read. What models judged is left out unless the section asks for it.
        Raises SourceError, and SourceUnreachable, which may be tried again from the last cursor.
        """
        ...

    def close(self) -> None:
        """Let go of everything; may be called twice."""
        ...


OpenFeedbackSource: TypeAlias = Callable[[Mapping[str, Any]], FeedbackSource]
"""What a source registers: it opens what a `[[feedback.sources]]` table describes."""
