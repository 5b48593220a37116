"""The columns of a log, built record by record."""

import numpy as np
import pytest

from nudge_sync.connector import Record
from nudge_sync.feedback.log.builder import Encoders, EventsBuilder
from nudge_sync.feedback.log.searches_builder import SearchesBuilder, unit_vector
from nudge_sync.feedback.log.validation import RecordValidator

DIMENSION = 2


def add_events(builder, *events):
    documents = [{"query_id": "q", "object_id": 1, **event} for event in events]
    records = [Record(str(n), document) for n, document in enumerate(documents)]
    builder.add_batch(RecordValidator().validate_events(records))


def test_a_grade_multiplies_the_weight_and_never_turns_a_negative_positive():
    builder = EventsBuilder({"click": 2.0, "not_relevant": -1.0}, Encoders())
    add_events(builder, {"action_name": "click"}, {"action_name": "click", "grade": 1.5})
    add_events(
        builder,
        {"action_name": "click", "grade": -1},
        {"action_name": "not_relevant", "grade": -2},
        {"action_name": "not_relevant", "grade": 3},
    )
    assert builder.weight.tolist() == [2, 3, -2, -2, -3]
    assert builder.is_label.tolist() == [0, 0, 0, 1, 1]


def test_a_thumb_down_is_a_label_and_a_thumb_up_is_behaviour():
    builder = EventsBuilder({"thumb": 0.5}, Encoders())
    given = [{"action_name": "thumb", "grade": grade} for grade in (1, 0.25, 0, -1)]
    add_events(builder, *given, {"action_name": "thumb"})
    assert builder.weight.tolist() == [0.5, 0.125, 0, -0.5, 0.5]
    assert builder.is_label.tolist() == [0, 0, 1, 1, 0]


def test_events_without_a_weighted_action_are_counted_and_left_out():
    builder = EventsBuilder({"click": 1.0, "dwell": 0.0}, Encoders())
    add_events(builder, *({"action_name": name} for name in ("hover", "click", "hover", "dwell")))
    assert builder.unweighted_events == 2
    assert builder.action_counts == {"hover": 2, "click": 1, "dwell": 1}
    assert builder.weight.tolist() == [1, 0]
    assert builder.is_label.tolist() == [0, 1]


def add_searches(builder, *documents):
    records = [Record(f"q{n}", {"vector_digest": "d", **doc}) for n, doc in enumerate(documents)]
    return builder.add_batch(RecordValidator().validate_searches(records))


@pytest.fixture
def builder():
    return SearchesBuilder(DIMENSION, Encoders(), reads_vectors=False)


def test_propensities_take_no_memory_until_a_search_logs_some(builder):
    add_searches(builder, {"shown": [1, 2]}, {}, {"shown": [3], "propensities": []})
    assert builder.propensities is None
    add_searches(builder, {"shown": [4]}, {"shown": [5, 6], "propensities": [0.5, 1]}, {})
    add_searches(builder, {"shown": [7]})
    nan = np.nan
    np.testing.assert_array_equal(builder.propensities.tolist(), [nan, nan, nan, nan, 0.5, 1, nan])


def test_a_search_that_states_no_digest_ends_reading_by_digest(builder):
    assert add_searches(builder, {})
    assert not add_searches(builder, {"vector_digest": None})


def test_vectors_are_scaled_to_length_one_unless_they_have_no_direction():
    np.testing.assert_allclose(unit_vector(np.array([3, 4], np.float32)), [0.6, 0.8])
    assert not unit_vector(np.zeros(2, np.float32)).any()
    assert not unit_vector(np.array([np.inf, 1], np.float32)).any()
