"""The log of searches ranked over HTTP: what waits, what is stored, and what is lost and said."""

import logging

import numpy as np
import pytest

from nudge_sync.errors import DatabaseError, Unreachable
from nudge_sync.feedback.ingest.batches import BatchImporter
from nudge_sync.feedback.schema.exposure import Exposure
from nudge_sync.serve.experiments import search_log
from nudge_sync.serve.experiments.search_log import BatchSearchLog
from tests.support.experiments.sample_experiment import read_searches, wait_for
from tests.support.sample_collection import DIMENSION, open_sample_collection

VECTOR = np.eye(1, DIMENSION, dtype=np.float32)[0]
EXPOSURE = Exposure("canary:1", "interleaved", ("both", "control"), (True, False))


@pytest.fixture
def sample(tmp_path):
    with open_sample_collection("memory", tmp_path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr(search_log, "_FLUSH_SECONDS", 0.01)


def test_searches_are_stored_with_their_exposure(sample):
    log = BatchSearchLog(BatchImporter(sample.reopen, {"docs": ""}), "docs")
    query_id = log.search(VECTOR, [3, 4], text="wings", session="s1", exposure=EXPOSURE)
    assert log.search(VECTOR.tolist(), [5], client="c1", query_id="q7") == "q7"
    log.close(30)
    found = read_searches(sample)
    assert found.keys() == {query_id, "q7"}
    assert (found[query_id].exposure, found[query_id].session_id) == (EXPOSURE, "s1")
    assert (found["q7"].exposure, found["q7"].shown) == (None, (5,))


def test_searches_wait_while_the_database_is_away(sample):
    attempts = []

    def connect():
        attempts.append(len(attempts))
        if len(attempts) < 3:
            raise Unreachable
        return sample.reopen()

    log = BatchSearchLog(BatchImporter(connect, {"docs": ""}), "docs")
    log.search(VECTOR, [3])
    wait_for(lambda: len(attempts) >= 3)
    log.close(30)
    assert len(read_searches(sample)) == 1
    assert log.dropped == 0


def test_what_is_refused_or_fails_for_good_is_lost_and_said(sample, caplog):
    log = BatchSearchLog(BatchImporter(sample.reopen, {"docs": ""}), "docs")
    log.search(VECTOR[:3], [3])
    log.search(VECTOR, [4])
    log.close(30)
    assert (log.dropped, len(read_searches(sample))) == (1, 1)

    def fail():
        raise DatabaseError("no such user")

    with caplog.at_level(logging.ERROR):
        failing = BatchSearchLog(BatchImporter(fail, {"docs": ""}), "docs")
        failing.search(VECTOR, [4])
        failing.close(30)
    assert failing.dropped == 1
    assert "searches not stored" in caplog.text


def test_what_does_not_fit_is_dropped_and_said(sample, monkeypatch, caplog):
    monkeypatch.setattr(search_log, "_CAPACITY", 0)
    log = BatchSearchLog(BatchImporter(sample.reopen, {"docs": ""}), "docs")
    assert log.search(VECTOR, [3])
    with caplog.at_level(logging.ERROR):
        log.close(30)
    assert (log.dropped, read_searches(sample)) == (1, {})
    assert caplog.text.count("searches not stored") == 1


def test_what_still_waits_at_the_end_is_said(caplog):
    def fail():
        raise Unreachable

    log = BatchSearchLog(BatchImporter(fail, {"docs": ""}), "docs")
    for _ in range(3):
        log.search(VECTOR, [3])
    with caplog.at_level(logging.ERROR):
        log.close(30)
    assert log.dropped == 3
    assert caplog.text.count("searches not stored") == 1
