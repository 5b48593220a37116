"""A cycle of the daemon as OpenTelemetry's SDK records it."""

from __future__ import annotations

import json
import logging

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from nudge_sync.base.signals import StopRequest
from nudge_sync.base.tracing import SPANS
from nudge_sync.config import load_config
from nudge_sync.errors import ConfigError
from nudge_sync.serve.daemon import Daemon
from nudge_sync.serve.jobs.schedule import CycleJob
from nudge_sync.serve.log_lines import LOGGER, JsonFormatter
from nudge_sync.serve.telemetry import EXPORTER_VARIABLE, record_spans, trace_cycles
from tests.support.workspace import Workspace, make_workspace


class LineHandler(logging.Handler):
    """Keeps the lines of the log as JSON objects."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[dict] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    workspace = make_workspace(tmp_path_factory.mktemp("shop"))
    workspace.run("feedback", "import", str(workspace.feedback_path))
    return workspace


@pytest.fixture
def log():
    handler, level = LineHandler(), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    yield handler.lines
    LOGGER.removeHandler(handler)
    LOGGER.setLevel(level)


def run_cycle(workspace: Workspace, name: str = "docs", extra_toml: str = ""):
    """Run one cycle as the daemon does, and return its spans by name."""
    workspace.write_config(f'[schedule]\nevery = "1d"\n{extra_toml}')
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with record_spans(provider, "qdrant-edge"):
        Daemon(load_config(workspace.config_path), StopRequest()).jobs.run(CycleJob(name))
    provider.shutdown()
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_cycle_is_a_span_and_its_steps_are_children(workspace: Workspace, log):
    spans = run_cycle(workspace)
    assert spans.keys() == {
        "nudge_sync.cycle",
        "nudge_sync.read",
        "nudge_sync.solve",
        "nudge_sync.write",
        "nudge_sync.measure",
    }
    cycle = spans.pop("nudge_sync.cycle")
    assert cycle.parent is None
    assert {span.parent.span_id for span in spans.values()} == {cycle.context.span_id}
    assert {span.attributes["db.system.name"] for span in spans.values()} == {"qdrant-edge"}
    assert cycle.attributes["db.collection.name"] == "docs"
    assert cycle.attributes["nudge_sync.outcome"] == "applied"
    [line] = [line for line in log if line["message"] == "cycle applied"]
    assert line["trace_id"] == f"{cycle.context.trace_id:032x}"
    assert line["span_id"] == f"{cycle.context.span_id:016x}"
    assert SPANS.backend is None


def test_a_cycle_in_which_nothing_is_new_has_an_outcome_too(workspace: Workspace):
    workspace.write_config('[schedule]\nevery = "1d"\n')
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with record_spans(provider, "qdrant-edge"):
        daemon = Daemon(load_config(workspace.config_path), StopRequest())
        daemon.jobs.idle.settling_ms = 0
        for _ in range(3):
            daemon.jobs.run(CycleJob("docs"))
    provider.shutdown()
    spans = exporter.get_finished_spans()
    cycles = [span for span in spans if span.name == "nudge_sync.cycle"]
    assert len(cycles) == 3
    assert all("nudge_sync.outcome" in span.attributes for span in cycles)
    assert cycles[-1].attributes["nudge_sync.outcome"] == "unchanged"
    assert sum(span.name == "nudge_sync.solve" for span in spans) < len(cycles)


def test_an_error_is_named_by_its_kind(workspace: Workspace):
    spans = run_cycle(workspace, "absent", "[collections.absent]")
    cycle = spans["nudge_sync.cycle"]
    assert cycle.attributes["nudge_sync.outcome"] == "failed"
    assert cycle.attributes["error.type"] == "CollectionNotFound"


def test_an_unknown_exporter_is_refused(monkeypatch):
    monkeypatch.setenv(EXPORTER_VARIABLE, "zipkin")
    with pytest.raises(ConfigError, match="otlp, console or none"), trace_cycles("qdrant"):
        pass


@pytest.mark.parametrize("name", ["", "none"])
def test_without_an_exporter_nothing_is_traced(name, monkeypatch):
    monkeypatch.setenv(EXPORTER_VARIABLE, name)
    with trace_cycles("qdrant"):
        assert SPANS.backend is None
