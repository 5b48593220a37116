"""A log that is read, sorted and judged in parts, out of files, gives the bits of one in memory."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nudge_sync.base import spooled
from nudge_sync.feedback.clicks.pipeline import estimate_relevance
from nudge_sync.feedback.clicks.relevance import PairRelevance
from nudge_sync.feedback.judgements import build_judgements
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.feedback_store import list_columns
from tests.support.simulated_clicks import DIMENSION, store_click_log, store_noisy_clicks

VECTORS = np.random.default_rng(0).normal(size=(4, DIMENSION)).astype(np.float32)
POINTS = st.integers(0, 5)
TIMES = st.sampled_from([0.0, 1e9, 1e9 + 0.1, 1.3e9])
WHO = {
    "timestamp": TIMES,
    "session_id": st.sampled_from(["", "s1", "s2"]),
    "client_id": st.sampled_from(["", "", "c1", "c2"]),
}
SEARCHES = st.builds(
    lambda shown, propensities, **fields: Search(
        shown=tuple(shown), propensities=tuple([0.5] * len(shown)) if propensities else (), **fields
    ),
    query_id=st.sampled_from([f"q{number}" for number in range(9)]),
    vector=st.sampled_from(list(VECTORS)),
    shown=st.lists(POINTS, max_size=4),
    propensities=st.booleans(),
    **WHO,
)
EVENTS = st.builds(
    Event,
    query_id=st.sampled_from([f"q{number}" for number in range(11)]),
    action_name=st.sampled_from(["click", "click", "purchase", "relevant", "hover"]),
    object_id=POINTS,
    position=st.sampled_from([None, 2]),
    **WHO,
)


def read_bits(records, settings_, rows, memory_bytes):
    """Return every bit of a log and of what the click model says of it, in parts of `rows` rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spooled, "ROWS_PER_PART", rows)
        patch.setattr(spooled, "MEMORY_BYTES", memory_bytes)
        log = load_log(*records, settings_, DIMENSION)
        estimates = estimate_relevance(log, settings_)
        judgements = build_judgements(log, settings_)
    pairs = [getattr(estimates.pairs, name).tobytes() for name in PairRelevance.__slots__]
    return (
        list_columns(log),
        pairs,
        estimates.query_groups.tobytes(),
        estimates.weights.tobytes(),
        estimates.expected_gain.tobytes(),
        (judgements.funnel, judgements.suspected_bots, judgements.promoted_points),
        (judgements.query_ids, judgements.point_ids, judgements.weights.tobytes()),
        judgements.cold_share,
    )


@settings(suppress_health_check=list(HealthCheck), max_examples=60, deadline=None)
@given(
    searches=st.lists(SEARCHES, max_size=20),
    events=st.lists(EVENTS, max_size=40),
    rows=st.sampled_from([1, 2, 3, 7]),
    memory_bytes=st.sampled_from([0, 50, 2**24]),
    bias=st.sampled_from(["pbm", "ipw", "coec"]),
    caps=st.sampled_from([{}, {"session_cap": 1}, {"client_cap": 2, "point_cap": 1}]),
    outliers=st.sampled_from([0.5, 5.0]),
    order=st.randoms(use_true_random=False),
)
def test_parts_change_no_bit(
    new_records, searches, events, rows, memory_bytes, bias, caps, outliers, order
):
    settings_ = FeedbackSettings(bias=bias, outliers=outliers, half_life_days=1000, **caps)
    keyed = {search.query_id: to_search_record(search) for search in searches}
    stored = list(keyed.values()), [to_event_record(event) for event in events]
    assert read_bits(put_all(new_records, stored), settings_, 2**20, 2**24) == read_bits(
        put_all(new_records, stored, order), settings_, rows, memory_bytes
    )


def put_all(new_records, stored, order=None):
    """Return records that hold what is stored, in an order of their own."""
    both = new_records(), new_records()
    for records, kept in zip(both, stored, strict=True):
        shuffled = kept.copy()
        if order is not None:
            order.shuffle(shuffled)
        records.put(shuffled)
    return both


@pytest.mark.parametrize("store", [store_click_log, store_noisy_clicks])
def test_parts_change_no_bit_where_clicks_say_much(new_records, store):
    records = new_records(), new_records()
    store(*records)
    whole = read_bits(records, FeedbackSettings(), 2**20, 2**24)
    assert len(np.frombuffer(whole[-2][2])) > 0
    assert read_bits(records, FeedbackSettings(), 37, 0) == whole
