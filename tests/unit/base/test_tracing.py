"""Spans: none without a backend, and one a call with one."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

from nudge_sync.base.tracing import SPANS, traced


class RecordingBackend:
    """What was asked of a backend, in order."""

    def __init__(self) -> None:
        self.events: list[object] = []

    @contextmanager
    def start_span(self, name):
        self.events.append(f"start {name}")
        yield
        self.events.append(f"end {name}")

    def set_attributes(self, attributes):
        self.events.append(dict(attributes))

    def get_current_ids(self):
        return {"trace_id": "1"}


@traced("add")
def add(left: int, right: int = 1) -> int:
    """Return the sum."""
    SPANS.set_attributes({"left": left})
    return left + right


def test_without_a_backend_a_call_is_a_call():
    assert SPANS.backend is None
    assert (add(1), add(1, right=2)) == (2, 3)
    assert (add.__name__, add.__doc__) == ("add", "Return the sum.")
    assert SPANS.get_current_ids() == {}


def test_with_one_each_call_is_a_span(monkeypatch):
    backend = RecordingBackend()
    monkeypatch.setattr(SPANS, "backend", backend)
    assert add(1) == 2
    assert backend.events == ["start add", {"left": 1}, "end add"]
    assert SPANS.get_current_ids() == {"trace_id": "1"}


def test_nothing_of_opentelemetry_is_imported_unless_asked_for():
    code = (
        "import sys, nudge_sync.cycle, nudge_sync.serve.daemon, nudge_sync.serve.telemetry as t\n"
        "with t.trace_cycles('qdrant'): pass\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
