"""Spans of traces, whatever they were read from, with their attributes as nested objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_JSON_NAMES = ("metadata",)
"""Attributes that hold JSON as text."""


@dataclass(frozen=True, slots=True)
class Span:
    """One step of a trace."""

    trace_id: str
    span_id: str
    parent_id: str
    """The span that this one is a step of; "" for the first of its trace."""
    start: float
    """Seconds since 1970."""
    end: float
    attributes: dict[str, Any] = field(default_factory=dict)
    """As `nest_attributes` returns them."""

    @property
    def kind(self) -> str:
        """What OpenInference calls the kind of span, such as RETRIEVER; "" if it says none."""
        return str(self.get("openinference", "span", "kind") or "").upper()

    @property
    def search_id(self) -> str:
        """The id of the search that a retriever span stands for."""
        return f"{self.trace_id}:{self.span_id}"

    def get(self, *path: str) -> Any:
        """Return the attribute at a path of names, or None."""
        value: Any = self.attributes
        for name in path:
            if not isinstance(value, Mapping):
                return None
            value = value.get(name)
        return value


@dataclass(frozen=True, slots=True)
class Opinion:
    """What somebody thought of a span, or of one of its documents."""

    span_id: str
    """"" where it is on the trace as a whole."""
    score: float | None
    label: str
    annotator: str
    """Who judged: HUMAN, LLM or CODE."""
    time: float = 0.0
    """Seconds since 1970; 0 if unknown."""
    client: str = ""
    document: int | None = None
    """Which of the span's documents, from 0; None: it is not said so."""
    point: int | str | None = None
    """The id of the point that it is on, shown or not; with neither, it is on the whole span."""
    trace_id: str = ""
    """The trace that it is on, for an opinion without a span."""


def parse_time(text: str) -> float:
    """Return a moment in RFC 3339 in seconds since 1970; one without a zone is in UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def format_iso_time(moment: float) -> str:
    """Return seconds since 1970 as a moment in RFC 3339, in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def nest_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes with dotted names as nested objects; numbers in names make lists.

    `metadata` that is JSON in a text becomes the object in it.
    """
    tree: dict[str, Any] = {}
    for name, value in attributes.items():
        node, parts = tree, name.split(".")
        for part in parts[:-1]:
            inner = node.setdefault(part, {})
            if not isinstance(inner, dict):
                inner = node[part] = {}
            node = inner
        if isinstance(value, Mapping) and isinstance(node.get(parts[-1]), dict):
            node[parts[-1]].update(value)
        else:
            node[parts[-1]] = value
    return {name: _to_lists(value, name) for name, value in tree.items()}


def _to_lists(value: Any, name: str) -> Any:
    if isinstance(value, str) and name in _JSON_NAMES:
        return _parse_object(value)
    if isinstance(value, list):
        return [_to_lists(inner, "") for inner in value]
    if not isinstance(value, Mapping):
        return value
    if value and all(isinstance(key, str) and key.isdecimal() for key in value):
        return [_to_lists(value[key], "") for key in sorted(value, key=int)]
    # OpenInference names nested objects by dots within a list's entries too.
    if any("." in key for key in value):
        return nest_attributes(value)
    return {key: _to_lists(inner, key) for key, inner in value.items()}


def _parse_object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
