"""Spans of what a cycle does, for OpenTelemetry, where somebody asked for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class SpanBackend(Protocol):
    """What makes spans, such as OpenTelemetry's SDK."""

    def start_span(self, name: str) -> AbstractContextManager[object]:
        """Return a span that is the current one while it is entered; an error ends it as failed."""
        ...

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes to the span that is the current one."""
        ...

    def get_current_ids(self) -> dict[str, str]:
        """Return trace_id and span_id of the current span in hex; {} where there is none."""
        ...


class SpanRecorder:
    """Hands spans to a backend while there is one; without, it costs a look at one attribute."""

    def __init__(self) -> None:
        self.backend: SpanBackend | None = None

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes to the current span, named by OpenTelemetry's semantic conventions."""
        if self.backend is not None:
            self.backend.set_attributes(attributes)

    def get_current_ids(self) -> dict[str, str]:
        """Return trace_id and span_id of the current span in hex; {} where there is none."""
        return {} if self.backend is None else self.backend.get_current_ids()


SPANS = SpanRecorder()
"""This process's spans; `nudge_sync.serve.telemetry` gives it a backend before work begins."""


def traced(
    name: str,
) -> Callable[[Callable[_Parameters, _Result]], Callable[_Parameters, _Result]]:
    """Return a decorator that makes a span called `name` of each call."""

    def decorate(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
        @wraps(function)
        def call(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
            if SPANS.backend is None:
                return function(*args, **kwargs)
            with SPANS.backend.start_span(name):
                return function(*args, **kwargs)

        return call

    return decorate
