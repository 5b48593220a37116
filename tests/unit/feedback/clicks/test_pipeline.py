from dataclasses import replace

import numpy as np
import pytest

from nudge_sync.config import FeedbackSettings
from nudge_sync.feedback.clicks import bots, pbm
from nudge_sync.feedback.clicks.caps import count_distinct, is_within_cap
from nudge_sync.feedback.clicks.coec import compute_coec
from nudge_sync.feedback.clicks.decay import compute_decay_factors
from nudge_sync.feedback.clicks.impressions import Impressions
from nudge_sync.feedback.clicks.ipw import compute_ipw_click_rate
from nudge_sync.feedback.clicks.neighbours import compute_neighbour_features
from nudge_sync.feedback.clicks.promoted import estimate_promotion_rates, find_points_without_topic
from nudge_sync.feedback.clicks.query_groups import group_queries
from nudge_sync.feedback.clicks.relevance import PairRelevance, compute_weights
from nudge_sync.feedback.clicks.signal_test import estimate_click_signal
from nudge_sync.feedback.explain import explain_judgements
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record

DIMENSION, RANKS, SESSIONS = 16, 8, 40
DAY = 86_400.0


def simulate_impressions(seed=0, groups=300, points=120, push=(), click_share=0.0):
    """Impressions of lists of PLACES points, and which pairs are relevant."""
    rng = np.random.default_rng(seed)
    lists = np.stack([rng.permutation(points)[:RANKS] for _ in range(groups)])
    good = rng.random((groups, RANKS)) < np.linspace(0.5, 0.05, RANKS)
    good &= ~np.isin(lists, push)
    examination = 1 / np.arange(1, RANKS + 1)
    chance = np.where(good, 0.8, 0.1) * examination
    chance = np.where(np.isin(lists, push), chance + click_share, chance)
    clicked = rng.binomial(SESSIONS, chance).astype(np.float64)
    group, at = np.divmod(np.arange(groups * RANKS), RANKS)
    impressions = Impressions(
        query_group=group,
        point=lists.ravel(),
        rank=at + 1,
        shown=np.full(len(group), float(SESSIONS)),
        clicked=clicked.ravel(),
        skipped=np.zeros(len(group)),
    )
    order = np.lexsort((impressions.rank, impressions.point, impressions.query_group))
    impressions = impressions.select(order)
    return impressions, good.ravel()[order]


def test_the_click_model_finds_looks_appeals_and_relevance():
    impressions, good = simulate_impressions()
    pairs = pbm.group_by_pair(impressions)
    model = pbm.fit_click_model(impressions, pairs)
    assert model.attractiveness_relevant == pytest.approx(0.8, abs=0.05)
    assert model.attractiveness_irrelevant == pytest.approx(0.1, abs=0.03)
    np.testing.assert_allclose(model.examination[1:6], 1 / np.arange(1, 6), atol=0.04)
    relevance = pbm.relevance_posterior(impressions, pairs, model)
    assert ((relevance > 0.5) == good).mean() > 0.93
    assert relevance[good].mean() == pytest.approx(relevance[relevance > 0.5].mean(), abs=0.15)


def test_points_clicked_wherever_they_stand_are_told_from_relevant_ones():
    impressions, _ = simulate_impressions(push=[3, 4], click_share=0.25)
    pairs = pbm.group_by_pair(impressions)
    rates = estimate_promotion_rates(impressions, pairs, pbm.fit_click_model(impressions, pairs))
    assert set(np.flatnonzero(rates)) == {3, 4}
    assert rates[3] == pytest.approx(0.25, abs=0.1)


def replace_by_random_clicks(impressions, rate, seed=0):
    """The same showings, where a look at place r, 1 / r likely, ends in a click at `rate`."""
    clicked = np.random.default_rng(seed).binomial(SESSIONS, rate / impressions.rank)
    return replace(impressions, clicked=clicked.astype(np.float64))


def test_clicks_tell_answers_only_where_they_go_with_pairs():
    impressions, _ = simulate_impressions()
    pairs = pbm.group_by_pair(impressions)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, DIMENSION))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    by_place = replace_by_random_clicks(impressions, 0.4)
    by_query = replace_by_random_clicks(
        impressions, rng.uniform(0.05, 0.8, 300)[impressions.query_group]
    )
    by_point = replace_by_random_clicks(impressions, rng.uniform(0.05, 0.8, 120)[impressions.point])
    assert estimate_click_signal(vectors, impressions, pairs) > 0.99
    for random_clicks in (by_place, by_query, by_point):
        assert estimate_click_signal(vectors, random_clicks, pairs) < 0.1


def test_similar_queries_tell_answers_where_nothing_was_shown_twice():
    rng = np.random.default_rng(0)
    topic = np.repeat(np.arange(20), 20)
    vectors = np.eye(20, dtype=np.float32)[topic]
    shown = np.stack([rng.permutation(20) for _ in topic])
    clicked = rng.random(shown.shape) < np.where(shown == topic[:, None], 0.9, 0.1)
    group, at = np.divmod(np.arange(shown.size), 20)
    once, never = np.ones(shown.size), np.zeros(shown.size)
    impressions = Impressions(group, shown.ravel(), at + 1, once, clicked.ravel() * 1.0, never)
    impressions = impressions.select(np.lexsort((impressions.point, impressions.query_group)))
    pairs = pbm.group_by_pair(impressions)
    assert estimate_click_signal(vectors, impressions, pairs) > 0.99
    assert estimate_click_signal(rng.permutation(vectors), impressions, pairs) < 0.1


def test_ratio_and_share_free_clicks_from_their_place():
    impressions, good = simulate_impressions()
    pairs = pbm.group_by_pair(impressions)
    for value in (
        compute_coec(impressions, pairs),
        compute_ipw_click_rate(impressions, pairs, 1 / np.maximum(np.arange(101), 1)),
    ):
        assert np.median(value[good]) > 2 * np.median(value[~good])


def test_near_queries_speak_for_each_other_and_far_ones_do_not():
    vectors = np.array([[1, 0], [1, 0], [-1, 0]], np.float32)
    pairs = pbm.Pairs(np.arange(3), np.arange(3), np.zeros(3, np.int64), np.ones(3, np.int64))
    features = compute_neighbour_features(vectors, pairs, np.array([0.0, 0.9, -0.9]))
    assert features[0, 0] > 0.6
    assert abs(features[2, 2]) < 0.01


def test_merging_follows_the_first_near_one():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(40, DIMENSION))
    rows = np.concatenate([base, base + 1e-4 * rng.normal(size=base.shape), -base])
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    every = np.arange(120)
    leads = group_queries(rows, every, 0.995)
    np.testing.assert_array_equal(leads, [*range(40), *range(40), *range(80, 120)])
    np.testing.assert_array_equal(group_queries(rows, every, 1.0), every)
    np.testing.assert_array_equal(group_queries(rows, every[40:], 0.995), every[40:])
    assert not len(group_queries(rows, every[:0], 0.995))


def test_merging_finds_the_near_ones_among_more_than_are_compared_at_once():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(1500, 32)) + 1
    rows = np.repeat(base, rng.integers(1, 5, 1500), axis=0)
    rows += 0.05 * rng.normal(size=rows.shape) * rng.random((len(rows), 1))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    leads = group_queries(rows, np.arange(len(rows)), 0.995)
    np.testing.assert_array_equal(leads[leads], leads)
    assert np.einsum("ij,ij->i", rows, rows[leads]).min() > 0.995 - 1e-6
    leaders = np.unique(leads)
    near = np.triu(rows[leaders] @ rows[leaders].T >= 0.995, k=1)
    assert near.sum() < 0.002 * (len(rows) - len(leaders))


def test_merging_bears_a_crowd_of_alike_queries():
    rng = np.random.default_rng(0)
    rows = 1 + 0.01 * rng.normal(size=(2000, 32))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    assert set(group_queries(rows, np.arange(2000), 0.995)) == {0}


def test_caps_and_distinct_counts():
    people, points = np.array([1, 1, 2, 1], np.int32), np.array([5, 6, 5, 5], np.int32)
    np.testing.assert_array_equal(is_within_cap([people], 2), [True, True, True, False])
    np.testing.assert_array_equal(is_within_cap([people, points], 1), [True, True, True, False])
    np.testing.assert_array_equal(count_distinct([points], people), [2, 1, 2, 2])
    nothing = np.zeros(0, np.int32)
    assert is_within_cap([nothing], 1).shape == count_distinct([nothing], nothing).shape == (0,)


def test_old_behaviour_counts_for_less():
    times = np.array([1e9, 1e9 - 10 * DAY, 0.0])
    np.testing.assert_allclose(compute_decay_factors(times, 10.0), [1, 0.5, 1])
    np.testing.assert_array_equal(compute_decay_factors(times, None), np.ones(3))
    np.testing.assert_array_equal(compute_decay_factors(np.zeros(3), 10.0), np.ones(3))


def test_neither_a_wrong_clock_nor_great_age_takes_the_others_worth():
    times = np.full(480, 1e9)
    times[0], times[1] = 4e9, 1.0
    weights_by_age = compute_decay_factors(times, 1.0)
    np.testing.assert_array_equal(weights_by_age[[0, 2, 479]], [1, 1, 1])
    assert 0 < weights_by_age[1] < 1e-20


def test_a_client_that_clicks_one_point_everywhere_is_a_bot():
    people = np.repeat(np.arange(50, dtype=np.int32), 3)
    bot = np.full(60, 99, np.int32)
    group = np.concatenate([np.arange(150) % 40, np.arange(60)]).astype(np.int32)
    point = np.concatenate([np.arange(150) % 70, np.zeros(60, int)]).astype(np.int32)
    assert bots.find_bots(np.concatenate([people, bot]), group, point, 5.0).tolist() == [99]


@pytest.fixture
def log(new_records):
    """Ten queries, each searched by twenty people; point 100 + q answers query q at place 2."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(10, DIMENSION)).astype(np.float32)
    queries, events = new_records(), new_records()
    for q in range(10):
        for n in range(20):
            name, who = f"{q} {n:02d}", f"c{q} {n}"
            shown = (q, 100 + q, 20 + q, 30 + q)
            queries.put(
                [
                    to_search_record(
                        Search(name, vectors[q], timestamp=1e9 + n, shown=shown, client_id=who)
                    )
                ]
            )
            if n % 4 != 3:
                events.put([to_event_record(Event(name, "click", 100 + q, client_id=who))])
            if n == 5:
                events.put([to_event_record(Event(name, "click", q, client_id=who))])
                events.put([to_event_record(Event(name, "click", 77, client_id=who))])
    return queries, events


def load_judgements(log, **settings):
    return read_judgements(*log, FeedbackSettings(**settings), DIMENSION)


def simulate_rank_bias(new_records, groups, searches, points=4000):
    """Lists of random points, of which people click two by their place alone."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(groups, DIMENSION)).astype(np.float32)
    examination = 1 / np.arange(1, RANKS + 1)
    queries, events = new_records(), new_records()
    for q in range(groups):
        shown = tuple(rng.permutation(points)[:RANKS].tolist())
        for n in range(searches):
            name, who = f"{q:03d} {n:02d}", f"c{q} {n}"
            search = Search(name, vectors[q], shown=shown, client_id=who)
            queries.put([to_search_record(search)])
            for index in rng.choice(RANKS, 2, p=examination / examination.sum()):
                events.put([to_event_record(Event(name, "click", shown[index], client_id=who))])
    return queries, events


@pytest.mark.parametrize(("groups", "searches"), [(500, 1), (100, 50)])
def test_clicks_on_places_alone_are_not_believed(new_records, groups, searches):
    judgements = load_judgements(simulate_rank_bias(new_records, groups, searches))
    (stage,) = (stage for stage in judgements.funnel if stage.name == "belief")
    assert stage.removed > 700
    assert len(judgements) <= 0.01 * stage.removed
    assert "not with what answers what" in stage.reason


@pytest.mark.parametrize("bias", ["pbm", "ipw"])
def test_clicks_become_judgements_of_the_earliest_search(log, bias):
    judgements = load_judgements(log, bias=bias)
    assert judgements.query_ids == [f"{q} 00" for q in range(10)]
    assert judgements.point_ids == [100 + q for q in range(10)]
    assert (judgements.weights > 0).all()


def test_every_stage_says_what_it_removed(log):
    stages = {stage.name: stage for stage in load_judgements(log, min_sessions=2).funnel}
    assert stages["showings"].removed == 10
    assert stages["sessions"].removed == 10
    assert (stages["sessions"].kept, stages["belief"].kept) == (10, 10)


def make_pairs(*rows):
    """Beliefs, each acted on once: point, belief, place."""
    points, relevance, rank = (np.array(column) for column in zip(*rows, strict=True))
    ones = np.ones(len(rows))
    return PairRelevance(
        search=np.arange(len(rows)),
        point=points,
        relevance=relevance,
        action_weight=ones,
        people=ones.astype(np.int64),
        searchers=ones.astype(np.int64),
        shown=ones,
        clicked=ones,
        skipped=0 * ones,
        rank=rank,
        promoted=np.zeros(len(rows), np.bool_),
    )


def test_a_click_pulls_by_how_likely_it_is_right():
    pairs = make_pairs((0, 0.95, 1), (1, 0.9, 3), (1, 0.4, 2), (1, 0.29, 2))
    pair_weights = compute_weights(pairs, FeedbackSettings(), [], 1.0)
    np.testing.assert_allclose(pair_weights, [0.95, 0.9, 0.4, np.nan])


@pytest.mark.parametrize("bias", ["coec", "ipw"])
def test_what_is_no_likelihood_pulls_from_a_half_on(bias):
    pairs = make_pairs((0, 0.6, 1), (1, 0.4, 3))
    pair_weights = compute_weights(pairs, FeedbackSettings(bias=bias), [], 1.0)
    np.testing.assert_allclose(pair_weights, [0.6, np.nan])


def test_a_point_whose_only_click_may_be_a_mistake_stays_unless_no_list_was_logged():
    pairs = make_pairs((0, 0.8, 3), (1, 0.8, 0), (2, 0.8, 3), (2, 0.8, 3))
    funnel = []
    pair_weights = compute_weights(pairs, FeedbackSettings(), funnel, 1.0)
    np.testing.assert_allclose(pair_weights, [np.nan, 0.8, 0.8, 0.8])
    assert (funnel[-1].name, funnel[-1].removed) == ("doubt", 1)


def test_a_label_overrules_clicks(log):
    log[1].put([to_event_record(Event("3 00", "not_relevant", 103))])
    judgements = load_judgements(log)
    query_row = judgements.query_ids.index("3 00")
    assert judgements.weights[judgements.query_rows == query_row].tolist() == [-1.0]


def test_what_is_expected_covers_what_is_too_doubtful_to_pull(log):
    judgements = load_judgements(log)
    judged_pairs = {
        (row, point) for row, point in zip(judgements.query_rows, judgements.point_ids, strict=True)
    }
    expected = judgements.expected_gains
    expected_pairs = {
        (row, point) for row, point in zip(expected.query_rows, expected.point_ids, strict=True)
    }
    assert judged_pairs <= expected_pairs
    assert (expected.gains > 0).all()


def test_reasons(log):
    full = load_log(*log, FeedbackSettings(), DIMENSION)
    (reason,) = explain_judgements(full, FeedbackSettings(), 103)
    assert (reason.query_id, reason.people, reason.place) == ("3 00", 15, 2)
    assert reason.weight
    (other,) = explain_judgements(full, FeedbackSettings(), 3)
    assert other.weight is None
    assert other.why
    assert explain_judgements(full, FeedbackSettings(), 555) == []


def test_clicks_without_lists_or_names_count_too(new_records):
    rng = np.random.default_rng(0)
    queries, events = new_records(), new_records()
    for q in range(5):
        queries.put(
            [to_search_record(Search(f"q{q}", rng.normal(size=DIMENSION).astype(np.float32)))]
        )
        events.put([to_event_record(Event(f"q{q}", "click", q))])
    assert load_judgements((queries, events)).point_ids == list(range(5))


def test_a_point_that_seems_to_answer_everything_is_pushed_and_a_popular_one_is_not():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, DIMENSION))
    vectors[:100] += 4 * rng.normal(size=DIMENSION)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    everywhere, popular = [(group, 0) for group in range(400)], [(group, 1) for group in range(100)]
    others = [(group, 2 + group % 100) for group in range(400)]
    unlikely = [(group, 110) for group in range(400)]
    group, point = np.array(sorted({*everywhere, *popular, *others, *unlikely})).T
    pairs = pbm.Pairs(np.arange(len(group)), group, point, np.ones(len(group), np.int64))
    promoted = find_points_without_topic(vectors, pairs, point != 110, 120, 5.0)
    assert np.flatnonzero(promoted).tolist() == [0]
    assert not find_points_without_topic(vectors, pairs, point == 111, 120, 5.0).any()


def test_a_label_on_any_search_for_a_query_overrules_what_was_clicked_there(log):
    queries, events = log
    assert {(w > 0) for w, id_ in list_weights(load_judgements(log)) if id_ == 105} == {True}
    events.put([to_event_record(Event("5 07", "not_relevant", 105, timestamp=2e9))])
    judgements = load_judgements(log)
    assert [w for w, id_ in list_weights(judgements) if id_ == 105] == [-1.0]
    assert 105 not in judgements.expected_gains.point_ids
    full = load_log(queries, events, FeedbackSettings(), DIMENSION)
    reason_by_source = {
        one.source: one for one in explain_judgements(full, FeedbackSettings(), 105)
    }
    assert (reason_by_source["behaviour"].weight, reason_by_source["behaviour"].why) == (
        None,
        "a label overrules it",
    )
    assert reason_by_source["label"].weight == -1.0


def list_weights(judgements):
    return list(zip(judgements.weights.tolist(), judgements.point_ids, strict=True))


def test_one_very_old_click_takes_nothing_from_the_others(log):
    queries, events = log
    before = len(load_judgements(log, half_life_days=1))
    old = Search("old", np.ones(DIMENSION, np.float32), timestamp=1e5, shown=(300, 301))
    queries.put([to_search_record(old)])
    events.put([to_event_record(Event("old", "click", 300, timestamp=1e5))])
    assert len(load_judgements(log, half_life_days=1)) >= before > 0


def test_no_with_a_grade_below_zero_is_still_a_no(log):
    events = log[1]
    events.put([to_event_record(Event("5 07", "not_relevant", 200, grade=-2.0))])
    assert [w for w, id_ in list_weights(load_judgements(log)) if id_ == 200] == [-2.0]
