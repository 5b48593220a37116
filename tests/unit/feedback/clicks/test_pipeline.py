"""All stages in a row, from clicks to judgements."""

import numpy as np
import pytest

from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.simulated_clicks import (
    DIMENSION,
    read_click_judgements,
    store_noisy_clicks,
    store_rank_bias,
)


@pytest.mark.parametrize(("groups", "searches"), [(500, 1), (100, 50)])
def test_clicks_that_follow_the_rank_alone_do_not_count(new_records, groups, searches):
    queries, events = new_records(), new_records()
    store_rank_bias(queries, events, groups, searches)
    judgements = read_click_judgements((queries, events))
    (stage,) = (stage for stage in judgements.funnel if stage.name == "belief")
    assert stage.removed > 700
    assert len(judgements) <= 0.01 * stage.removed
    assert "not with what answers what" in stage.reason


@pytest.mark.parametrize("bias", ["pbm", "ipw"])
def test_clicks_become_judgements_of_the_earliest_search(click_log, bias):
    judgements = read_click_judgements(click_log, bias=bias)
    assert judgements.query_ids == [f"{q} 00" for q in range(10)]
    assert judgements.point_ids == [100 + q for q in range(10)]
    assert (judgements.weights > 0).all()


def test_every_stage_says_what_it_removed(click_log):
    funnel = read_click_judgements(click_log, min_sessions=2).funnel
    stages = {stage.name: stage for stage in funnel}
    assert stages["showings"].removed == 10
    assert stages["sessions"].removed == 10
    assert (stages["sessions"].kept, stages["belief"].kept) == (10, 10)


@pytest.mark.parametrize("grade", [0.0, -1.0])
def test_a_click_that_is_graded_zero_is_no_click(click_log, grade):
    """Such as of somebody who came back at once: whoever stayed still counts."""
    queries, events = click_log
    before = read_click_judgements(click_log)
    searches = [record.key for batch in queries.scan() for record in batch]
    turned_away = [Event(name, "click", 105, grade=grade) for name in searches]
    events.put([to_event_record(event) for event in turned_away if event.query_id[0] == "5"])
    after = read_click_judgements(click_log)
    assert after.weights.tolist() == before.weights.tolist()
    assert after.expected_gains.gains.tolist() == before.expected_gains.gains.tolist()
    (stage,) = (stage for stage in after.funnel if stage.name == "grades")
    assert stage.removed == sum(name[0] == "5" for name in searches)


def test_a_thumb_down_is_worth_nothing_to_find(click_log):
    queries, events = click_log
    actions = {**FeedbackSettings().actions, "thumb": 1.0}
    searches = [record.key for batch in queries.scan() for record in batch]
    thumbs = [Event(name, "thumb", 105, grade=0.0) for name in searches if name[0] == "5"]
    events.put(list(map(to_event_record, thumbs)))
    judgements = read_click_judgements(click_log, actions=actions)
    rows = [row for row, point in enumerate(judgements.point_ids) if point == 105]
    assert rows
    assert (judgements.weights[rows] <= 0).all()
    assert 105 not in judgements.expected_gains.point_ids


def test_of_several_actions_on_one_result_the_strongest_counts(click_log):
    before = read_click_judgements(click_log)
    for n in range(20):
        if n % 4 != 3:
            for action in ("click", "purchase"):
                event = Event(f"3 {n:02d}", action, 103, timestamp=2e9, client_id=f"c3 {n}")
                click_log[1].put([to_event_record(event)])
    after = read_click_judgements(click_log)
    purchase_weight = after.weights[3] / before.weights[3]
    assert purchase_weight == pytest.approx(3.0, rel=0.05)
    (stage,) = (stage for stage in after.funnel if stage.name == "repeats")
    assert stage.removed == 30


def test_clicks_without_lists_or_names_count_too(new_records):
    rng = np.random.default_rng(0)
    queries, events = new_records(), new_records()
    for q in range(5):
        vector = rng.normal(size=DIMENSION).astype(np.float32)
        queries.put([to_search_record(Search(f"q{q}", vector))])
        events.put([to_event_record(Event(f"q{q}", "click", q))])
    assert read_click_judgements((queries, events)).point_ids == list(range(5))


def test_what_is_expected_covers_what_is_too_doubtful_to_count(new_records):
    queries, events = new_records(), new_records()
    store_noisy_clicks(queries, events)
    judgements = read_click_judgements((queries, events))
    counted = set(zip(judgements.query_rows, judgements.point_ids, strict=True))
    gains = judgements.expected_gains
    assert counted < set(zip(gains.query_rows, gains.point_ids, strict=True))
    assert (gains.gains > 0).all()
