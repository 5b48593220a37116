"""Records of searches and events."""

from dataclasses import replace

import numpy as np
import pytest

from nudge_sync.feedback.schema.exposure import Exposure
from nudge_sync.feedback.schema.records import (
    Event,
    Search,
    compute_vector_digest,
    parse_search_record,
    to_feedback_record,
)

SEARCH = Search("q1", np.array([3, 0, 0, 4], np.float32), "wing", 1.7e9, (7, "x"), (0.5, 0.25))
EVENT = Event("q1", "click", 7, position=2, timestamp=1.7e9, session_id="s1")


def test_a_search_comes_back_from_its_record():
    record = to_feedback_record(SEARCH)
    assert record.key == "q1"
    parsed = parse_search_record(record)
    assert parsed.vector.tobytes() == SEARCH.vector.tobytes()
    assert (parsed.text, parsed.timestamp, parsed.shown) == ("wing", 1.7e9, (7, "x"))
    assert parsed.propensities == (0.5, 0.25)
    assert parsed.exposure is None


def test_an_exposure_comes_back_from_its_record():
    exposure = Exposure("canary:3", "interleaved", ("both", "treatment"), (False, True), "filter")
    record = to_feedback_record(replace(SEARCH, exposure=exposure))
    assert parse_search_record(record).exposure == exposure


def test_an_exposure_that_is_nonsense_leaves_the_search_readable():
    record = to_feedback_record(SEARCH)
    parsed = parse_search_record(
        replace(record, document={**record.document, "experiment": "canary:3", "arm": 7})
    )
    assert parsed.exposure is None
    assert parsed.shown == SEARCH.shown


@pytest.mark.parametrize(
    "other",
    [
        Event("q2", "click", 7, position=2, timestamp=1.7e9, session_id="s1"),
        Event("q1", "click", "7", position=2, timestamp=1.7e9, session_id="s1"),
        Event("q1", "click", 7, position=3, timestamp=1.7e9, session_id="s1"),
        Event("q1", "click", 7, position=2, timestamp=1.7e9 + 1, session_id="s1"),
        Event("q1", "click", 7, position=2, timestamp=1.7e9, client_id="s1"),
    ],
)
def test_the_key_of_an_event_tells_it_from_every_other(other):
    same = Event("q1", "click", 7, position=2, timestamp=1.7e9, session_id="s1")
    assert to_feedback_record(same).key == to_feedback_record(EVENT).key
    assert to_feedback_record(other).key != to_feedback_record(EVENT).key


def test_the_digest_of_a_vector_tells_every_bit():
    zeros = np.zeros(4, np.float32)
    assert compute_vector_digest(zeros) == compute_vector_digest(zeros.copy())
    assert compute_vector_digest(zeros) != compute_vector_digest(-zeros)
