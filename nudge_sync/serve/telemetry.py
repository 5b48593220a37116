"""OpenTelemetry's side of tracing: where the spans of the daemon go. Needs the extra `otel`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from nudge_sync.base.tracing import SPANS
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

EXPORTER_VARIABLE = "OTEL_TRACES_EXPORTER"
"""OpenTelemetry's own variable: otlp, console or none; nothing is traced where it is not set."""


class OpenTelemetrySpans:
    """Spans of one tracer, each with the attributes that all of them have."""

    def __init__(self, provider: TracerProvider, attributes: Mapping[str, Any]) -> None:
        self._tracer = provider.get_tracer("nudge_sync", version("nudge-sync"))
        self._attributes = dict(attributes)

    def start_span(self, name: str) -> AbstractContextManager[object]:
        """Return a span that is the current one while it is entered; an error ends it as failed."""
        span: AbstractContextManager[object] = self._tracer.start_as_current_span(
            name, attributes=self._attributes
        )
        return span

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes to the current span."""
        from opentelemetry.trace import get_current_span  # noqa: PLC0415 - an extra

        get_current_span().set_attributes(attributes)

    def get_current_ids(self) -> dict[str, str]:
        """Return trace_id and span_id of the current span in hex; {} where there is none."""
        from opentelemetry.trace import (  # noqa: PLC0415 - an extra
            format_span_id,
            format_trace_id,
            get_current_span,
        )

        context = get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {
            "trace_id": format_trace_id(context.trace_id),
            "span_id": format_span_id(context.span_id),
        }


@contextmanager
def trace_cycles(connector: str) -> Iterator[None]:
    """Send spans where OTEL_TRACES_EXPORTER says, while inside; at the end, those that wait too.

    connector: the database's name, which every span has. OpenTelemetry's other variables, such as
    OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_SERVICE_NAME, are the SDK's to read. Without the variable
    nothing is imported. Raises ConfigError for another exporter, or where the extra is missing.
    """
    name = os.environ.get(EXPORTER_VARIABLE, "").strip().lower()
    if name in {"", "none"}:
        yield
        return
    try:
        provider = _build_provider(name)
    except ImportError as error:
        raise ConfigError(
            f"{EXPORTER_VARIABLE} lacks a package ({error}); "
            "install it with: pip install 'nudge-sync[otel]'"
        ) from error
    try:
        with record_spans(provider, connector):
            yield
    finally:
        provider.shutdown()


@contextmanager
def record_spans(provider: TracerProvider, connector: str) -> Iterator[None]:
    """Make spans by `provider` while inside."""
    SPANS.backend = OpenTelemetrySpans(provider, {"db.system.name": connector})
    try:
        yield
    finally:
        SPANS.backend = None


def _build_provider(exporter_name: str) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    defaults = Resource({"service.name": "nudge-sync", "service.version": version("nudge-sync")})
    # The environment's name for the service counts before ours.
    provider = TracerProvider(resource=defaults.merge(_read_resource()))
    provider.add_span_processor(BatchSpanProcessor(_build_exporter(exporter_name)))
    return provider


def _read_resource() -> Any:
    from opentelemetry.sdk.resources import OTELResourceDetector  # noqa: PLC0415 - an extra

    return OTELResourceDetector().detect()


def _build_exporter(name: str) -> SpanExporter:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415 - an extra

        return ConsoleSpanExporter()
    if name == "otlp":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )

        return OTLPSpanExporter()
    raise ConfigError(f"{EXPORTER_VARIABLE} is {name!r}; otlp, console or none would work")
