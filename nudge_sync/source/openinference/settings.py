"""What the table of a trace source says of how traces are read."""

from __future__ import annotations

from typing import Any, Literal

import jmespath
from pydantic import field_validator

from nudge_sync.connector.settings import Section

DAY_SECONDS = 86_400.0
MINUTE_SECONDS = 60.0
OVERLAP_SECONDS = 600.0
"""Opinions this much older than what was read last are handed over again."""
DEFAULT_POINT = "id || metadata.doc_id || metadata.point_id || metadata._id || metadata.id"


class TraceSettings(Section):
    """How searches, citations and opinions are found in traces."""

    point: str = DEFAULT_POINT
    """JMESPath from a retrieved document, with `id`, `content`, `score` and `metadata`, to the id
    of its point."""
    cited: str = ""
    """JMESPath from a span's attributes to the list of the points that an answer cites."""
    annotators: tuple[Literal["HUMAN", "LLM", "CODE"], ...] = ("HUMAN",)
    """Whose opinions count: those of people, of models, of programs."""

    @field_validator("point", "cited")
    @classmethod
    def _check_expression(cls, expression: str) -> str:
        if expression:
            compile_expression(expression)
        return expression


def compile_expression(expression: str) -> Any:
    """Return a compiled JMESPath expression. Raises ValueError."""
    try:
        return jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{expression!r} is no JMESPath expression: {reason}") from None
