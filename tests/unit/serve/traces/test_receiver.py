"""Searches of traces that wait while the database is away: bounded, paid for once, and told of."""

from __future__ import annotations

import logging
import time

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from nudge_sync.errors import Unreachable
from nudge_sync.feedback.ingest.batches import BatchImporter
from nudge_sync.serve.prometheus import PrometheusMetrics
from nudge_sync.serve.traces import receiver as receiver_module
from nudge_sync.serve.traces.api import add_trace_route, release_waiting_searches
from nudge_sync.serve.traces.receiver import open_receivers
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.source.openinference.spans import Span, nest_attributes
from tests.support.sample_collection import DIMENSION, open_sample_collection

EMBEDDED: list[str] = []


def embed_texts(texts):
    """Embed texts as a model of an application does, and keep which."""
    EMBEDDED.extend(texts)
    return np.random.default_rng(0).normal(size=(len(texts), DIMENSION)).tolist()


class Database:
    """The sample's database, which may be away."""

    def __init__(self, sample):
        self.sample = sample
        self.is_away = False

    def open(self):
        if self.is_away:
            raise Unreachable("no answer")
        return self.sample.reopen()


@pytest.fixture
def database(tmp_path):
    with open_sample_collection("memory", tmp_path) as sample:
        yield Database(sample)


@pytest.fixture
def receivers(database, monkeypatch):
    EMBEDDED.clear()
    monkeypatch.setattr(receiver_module, "MAX_WAITING_SPANS", 20)
    monkeypatch.setattr(receiver_module, "_FIRST_PAUSE", 0.05)
    table = {"traces": {"hold_seconds": 0}, "embed": f"{__name__}:embed_texts"}
    importer = BatchImporter(database.open, {"docs": ""})
    return open_receivers(importer, {"docs": FeedbackSettings.model_validate(table)})


def make_spans(first, count):
    attributes = {
        "openinference.span.kind": "RETRIEVER",
        "retrieval.documents.0.document.id": "3",
    }
    return [
        Span(
            f"{number:032x}",
            f"{number:016x}",
            "",
            time.time() - 60,
            time.time() - 59,
            nest_attributes(attributes | {"input.value": f"query {number}"}),
        )
        for number in range(first, first + count)
    ]


def test_what_waits_is_bounded_and_embedded_once(database, receivers):
    receiver = receivers["docs"]
    database.is_away = True
    receiver.receive(make_spans(0, 15))
    for _ in range(3):
        with pytest.raises(Unreachable):
            receiver.release_due()
        # Nothing happens until the pause is over.
        assert receiver.release_due().rejected == 0
        time.sleep(0.4)
    receiver.receive(make_spans(15, 10))
    with pytest.raises(Unreachable, match="25 searches wait"):
        receiver.receive(make_spans(25, 10))
    with pytest.raises(Unreachable):
        receiver.release_due()
    assert receiver.count_waiting() == 25
    assert sorted(EMBEDDED) == sorted(f"query {number}" for number in range(25))

    database.is_away = False
    time.sleep(0.9)
    assert receiver.release_due().rejected == 0
    assert receiver.count_waiting() == 0
    receiver.receive(make_spans(25, 10))
    receiver.release_due()
    assert database.sample.target().queries.count() == 35
    assert len(EMBEDDED) == 35


def test_what_waits_for_a_collection_that_is_taken_out_is_counted(database, receivers):
    receiver = receivers["docs"]
    receiver.receive(make_spans(0, 4))
    receiver.importer.vector_names.clear()
    assert not receiver.is_configured
    assert receiver.release_due().rejected == 4
    assert (receiver.release_due().rejected, receiver.count_waiting()) == (0, 0)
    assert database.sample.target().queries.count() == 0
    app = FastAPI()
    add_trace_route(app, receivers, "t0ken")
    client = TestClient(app, headers={"Authorization": "Bearer t0ken"})
    answer = client.post("/v1/traces?collection=docs", json={"resourceSpans": []})
    assert answer.status_code == 404


def test_what_waits_at_the_end_is_stored_or_counted(database, receivers, caplog):
    metrics = PrometheusMetrics()
    with release_waiting_searches(receivers, metrics):
        receivers["docs"].receive(make_spans(0, 4))
    assert database.sample.target().queries.count() == 4
    with caplog.at_level(logging.WARNING), release_waiting_searches(receivers, metrics):
        database.is_away = True
        receivers["docs"].receive(make_spans(4, 3))
    assert "searches of traces not stored" in caplog.text
    rejected = (
        'nudge_sync_feedback_rows_total{collection="docs",kind="traces",result="rejected"} 3.0'
    )
    assert rejected in metrics.render().decode()
