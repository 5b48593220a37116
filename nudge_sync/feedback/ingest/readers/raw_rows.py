"""What a reader of a format yields: rows whose fields still have the names that the file gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nudge_sync.feedback.schema.values import BadRow


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row of a file, or what is wrong with it."""

    line: int
    """Number of the line or the row in the file, from 1."""
    text: str
    """The row as it was read, for the rejects file."""
    content: Mapping[str, Any] | BadRow
    is_incidental: bool = False
    """Whether this is a search with no more than its id and text: it replaces none that was
    logged."""
