"""The table [feedback.traces]: how traces that applications send to the daemon become feedback."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nudge_sync.connector.settings import Section


class TraceIntakeSettings(Section):
    """How searches and citations are found in spans, and how long parts of them wait."""

    point: str = ""
    """JMESPath from a retrieved document to the id of its point; "": its id, or what its metadata
    calls one."""
    cited: str = ""
    """JMESPath from a span's attributes to the list of the points that an answer cites."""
    hold_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """How long a search waits for the span with its vector, and an answer for its search."""
