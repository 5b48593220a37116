"""What an application gets from an experiment, whatever runs and whatever goes wrong."""

import asyncio
from collections import Counter
from threading import Event
from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pytest

from nudge_sync.feedback_log import FeedbackLog
from nudge_sync.store.experiments.running import start_experiment
from tests.support.experiments.sample_experiment import (
    MOVED,
    K,
    arm_vectors,
    find_query_that_needs_more,
    find_session,
    read_searches,
    search_arm,
    search_live,
    start_sample_canary,
)


def test_without_an_experiment_results_come_back_as_they_are(sample, open_experiment):
    experiment = open_experiment()
    results = search_live(sample, sample.data.queries[0], 15)
    assert experiment.depth(K, session="s1") == K
    ranked = experiment.rank(sample.data.queries[0], results, K, session="s1")
    assert ranked.results == results[:K]
    assert (ranked.arm, ranked.experiment, ranked.fallback) == ("", "", "")
    assert ranked.query_id


def test_a_session_of_the_treatment_gets_the_list_of_its_arm_and_it_is_logged(
    sample, open_experiment
):
    start_sample_canary(sample)
    with FeedbackLog(sample.database, "docs", flush_seconds=0.01) as log:
        experiment = open_experiment(log=log)
        shown = {}
        for query in sample.data.queries[:20]:
            depth = experiment.depth(K, session="s1")
            ranked = experiment.rank(
                query, search_live(sample, query, depth), K, session="s1", text="wings",
                more=lambda limit, query=query: search_live(sample, query, limit),
            )  # fmt: skip
            assert ranked.ids == search_arm(sample, query)
            assert (ranked.arm, ranked.experiment) == ("treatment", "canary:1")
            shown[ranked.query_id] = ranked.ids
        assert log.flush()
    logged = read_searches(sample)
    assert {key: list(item.shown) for key, item in logged.items()} == shown
    one = next(iter(logged.values()))
    assert (one.exposure.experiment, one.exposure.arm) == ("canary:1", "treatment")
    assert one.exposure.moved == tuple(id_ in MOVED for id_ in one.shown)
    assert (one.session_id, one.text) == ("s1", "wings")
    assert experiment.counts.searches == {"treatment": 20}


def test_a_split_shows_the_chosen_one_arm_and_everybody_else_the_other(sample, open_experiment):
    running = start_sample_canary(sample, share=0.3)
    experiment = open_experiment()
    assert experiment.depth(K, session=find_session(running, chosen=True)) > K
    query = sample.data.queries[0]
    results = search_live(sample, query, 40)
    arms = Counter(
        experiment.rank(query, results, K, session=f"s{number}").arm for number in range(500)
    )
    assert arms.keys() == {"control", "treatment"}
    assert 100 < arms["treatment"] < 200
    control = experiment.rank(query, results, K, session=find_session(running, chosen=False))
    assert (control.arm, control.results) == ("control", results[:K])
    assert experiment.depth(K, session=find_session(running, chosen=False)) == K


@pytest.mark.parametrize("session", [7, 0, UUID(int=5), np.int64(3)])
def test_a_session_that_is_no_text_is_the_text_that_is_logged(sample, open_experiment, session):
    start_sample_canary(sample)
    experiment = open_experiment()
    query = sample.data.queries[0]
    assert experiment.depth(K, session=session) > K
    results = search_live(sample, query, 40)
    ranked = experiment.rank(query, results, K, session=session)
    assert (ranked.arm, ranked.fallback) == ("treatment", "")
    assert ranked.ids == experiment.rank(query, results, K, session=str(session)).ids
    assert experiment.rank(query, results, K, session=None).arm == ""


def test_a_search_that_names_no_session_takes_no_part(sample, open_experiment):
    start_sample_canary(sample)
    experiment = open_experiment()
    query = sample.data.queries[0]
    assert experiment.rank(query, search_live(sample, query, 30), K, client="c1").arm == ""


def test_clients_are_assigned_where_the_experiment_says_so(sample, open_experiment):
    start_sample_canary(sample, unit="client")
    experiment = open_experiment()
    query = sample.data.queries[0]
    assert experiment.rank(query, search_live(sample, query, 30), K, client="c1").arm == "treatment"


def test_an_interleaved_list_has_teams_and_stays_the_same_for_one_person(sample, open_experiment):
    running = start_sample_canary(sample, mode="interleave", share=0.5)
    experiment = open_experiment()
    session = find_session(running, chosen=True)
    teams = Counter()
    for query in sample.data.queries[:30]:
        results = search_live(sample, query, 40)
        ranked = experiment.rank(query, results, K, session=session)
        assert ranked.arm == "interleaved"
        assert len(ranked.ids) == len(ranked.teams) == K
        assert set(ranked.ids) <= {*search_arm(sample, query), *(id_ for id_, _ in results[:K])}
        assert experiment.rank(query, results, K, session=session).ids == ranked.ids
        teams.update(ranked.teams)
    assert teams.keys() == {"both", "control", "treatment"}
    outside = experiment.rank(query, results, K, session=find_session(running, chosen=False))
    assert (outside.arm, outside.results) == ("", results[:K])


def test_a_coin_of_each_session_says_which_arm_chooses_first(sample, open_experiment):
    start_sample_canary(sample, mode="interleave")
    experiment = open_experiment()
    query = find_query_that_needs_more(sample)
    results = search_live(sample, query, 40)
    drafts = (
        experiment.rank(query, results, K, session=f"s{number}").teams for number in range(400)
    )
    first_choices = Counter(next(team for team in teams if team != "both") for teams in drafts)
    # Binomial, with a standard deviation of 10.
    assert 150 < first_choices["treatment"] < 250


def test_a_holdback_shows_the_chosen_what_was_there_before(sample, open_experiment):
    # Nothing was ever moved: its overlay is empty, and both arms are the same.
    start_experiment(sample.target(), "holdback", 1, 1.0)
    experiment = open_experiment()
    query = sample.data.queries[0]
    ranked = experiment.rank(query, search_live(sample, query, K), K, session="s1")
    assert (ranked.arm, ranked.experiment) == ("control", "holdback:1")
    assert ranked.ids == [id_ for id_, _ in search_live(sample, query, K)]


def test_a_list_that_is_too_short_falls_back_and_says_how_long_it_should_be(
    sample, open_experiment
):
    start_sample_canary(sample)
    experiment = open_experiment()
    query = find_query_that_needs_more(sample)
    results = search_live(sample, query, K)
    ranked = experiment.rank(query, results, K, session="s1")
    assert (ranked.fallback, ranked.results, ranked.arm) == ("depth", results, "treatment")
    assert ranked.wanted > K
    wider = search_live(sample, query, ranked.wanted)
    again = experiment.rank(query, wider, K, session="s1", query_id=ranked.query_id)
    assert (again.ids, again.fallback) == (search_arm(sample, query), "")
    assert again.query_id == ranked.query_id
    assert experiment.counts.fallbacks == {"depth": 1}
    assert experiment.depth(K, session="s1") >= ranked.wanted


@pytest.mark.parametrize(
    "more", [lambda _: 1 / 0, lambda _: [("nonsense",)]], ids=["raises", "nonsense"]
)
def test_a_callback_that_fails_leaves_the_plain_list(sample, open_experiment, caplog, more):
    start_sample_canary(sample)
    experiment = open_experiment()
    query = find_query_that_needs_more(sample)
    results = search_live(sample, query, K)
    for _ in range(2):
        ranked = experiment.rank(query, results, K, session="s1", more=more)
        assert (ranked.results, ranked.fallback) == (results, "error")
    assert len(caplog.records) == 1
    assert experiment.counts.fallbacks == {"error": 2}


def test_nobody_waits_for_a_callback_that_hangs(sample, open_experiment, caplog):
    start_sample_canary(sample)
    experiment = open_experiment(deadline=0.1)
    query = find_query_that_needs_more(sample)
    results = search_live(sample, query, K)
    is_over, ended = Event(), []

    def hang(_):
        is_over.wait(60)
        ended.append("hang")

    try:
        for _ in range(2):
            ranked = experiment.rank(query, results, K, session="s1", more=hang)
            assert (ranked.results, ranked.fallback) == (results, "deadline")
        assert ended == []
    finally:
        is_over.set()
    assert caplog.records == []
    assert experiment.counts.fallbacks == {"deadline": 2}


def test_results_that_make_no_sense_come_back_as_they_are(sample, open_experiment):
    start_sample_canary(sample)
    experiment = open_experiment()
    results = [object(), object()]
    ranked = experiment.rank(sample.data.queries[0], results, K, session="s1")
    assert (ranked.results, ranked.fallback) == (results, "error")
    wrong_query = experiment.rank([1.0, float("nan")], [(1, 0.5)], 1, session="s1")
    assert (wrong_query.results, wrong_query.fallback) == ([(1, 0.5)], "error")


def hold_as_response(results):
    return SimpleNamespace(points=results)


@pytest.mark.parametrize("is_running", [False, True])
@pytest.mark.parametrize("hold", [list, iter, tuple, hold_as_response])
def test_results_are_read_from_whatever_holds_them(sample, open_experiment, is_running, hold):
    if is_running:
        start_sample_canary(sample)
    experiment, query = open_experiment(), sample.data.queries[0]
    ranked = experiment.rank(query, hold(search_live(sample, query, 40)), K, session="s1")
    assert (len(ranked.results), ranked.fallback) == (K, "")
    assert experiment.rank(query, None, K, session="s1").results == []


@pytest.mark.parametrize("to_id", [np.int64, str, int])
def test_points_that_are_admitted_as_ids_are_pairs(sample, open_experiment, to_id):
    start_sample_canary(sample)
    experiment = open_experiment()
    kinds = set()
    for query in sample.data.queries[:40]:
        ranked = experiment.rank(
            query, search_live(sample, query, 30), K, session="s1",
            admits=lambda ids: [to_id(id_) for id_ in ids],
        )  # fmt: skip
        kinds |= {type(item) for item in ranked.results}
    assert kinds == {tuple}


def test_with_a_filter_new_points_are_asked_about_or_left_out_and_counted(sample, open_experiment):
    start_sample_canary(sample)
    experiment = open_experiment()
    even = {id_ for id_ in range(400) if id_ % 2 == 0}

    def search_even(query, limit):
        return [pair for pair in search_live(sample, query, 400) if pair[0] in even][:limit]

    asked, left_out = [], 0
    for query in sample.data.queries[:20]:
        expected = [i for i in np.argsort(-(arm_vectors(sample) @ query)).tolist() if i in even][:K]
        results = search_even(query, 40)
        ranked = experiment.rank(
            query, results, K, session="s1", filtered=True,
            admits=lambda ids: [asked.append(ids), *(id_ for id_ in ids if id_ in even)][1:],
            more=lambda limit, query=query: search_even(query, limit),
        )  # fmt: skip
        assert (ranked.ids, ranked.fallback) == (expected, "")
        alone = experiment.rank(query, search_even(query, 12), K, session="s1", filtered=True)
        assert set(alone.ids) <= even
        left_out += alone.fallback == "filter"
    assert asked
    assert left_out
    assert experiment.counts.fallbacks["filter"] == left_out


def test_what_admits_returned_for_a_point_is_what_is_shown(sample, open_experiment):
    start_sample_canary(sample)
    experiment = open_experiment()
    for query in sample.data.queries[:40]:
        ranked = experiment.rank(
            query, search_live(sample, query, 30), K, session="s1",
            admits=lambda ids: [{"id": id_, "payload": {"title": str(id_)}} for id_ in ids],
        )  # fmt: skip
        brought_in = [item for item in ranked.results if isinstance(item, dict)]
        assert all(item["payload"]["title"] == str(item["id"]) for item in brought_in)
        if brought_in:
            return
    raise AssertionError("no point came in")


def test_callbacks_are_awaited(sample, open_experiment):
    start_sample_canary(sample)
    experiment = open_experiment(deadline=2)
    query = find_query_that_needs_more(sample)

    async def more(limit):
        await asyncio.sleep(0)
        return search_live(sample, query, limit)

    async def stall(_):
        await asyncio.sleep(60)

    async def run():
        results = search_live(sample, query, K)
        ranked = await experiment.arank(query, results, K, session="s1", more=more)
        assert (ranked.ids, ranked.fallback) == (search_arm(sample, query), "")
        late = await experiment.arank(query, results, K, session="s1", more=stall)
        assert (late.results, late.fallback) == (results, "deadline")

    asyncio.run(run())


def test_search_goes_through_the_connector(sample, open_experiment):
    sample.application.store.upsert(
        "docs", range(400), sample.data.vectors, [{"even": id_ % 2 == 0} for id_ in range(400)]
    )
    start_sample_canary(sample)
    experiment = open_experiment()
    for query in sample.data.queries[:10]:
        ranked = experiment.search(query, K, session="s1")
        assert ranked.ids == search_arm(sample, query)
        even = experiment.search(query, K, session="s1", filter={"even": True})
        best = np.argsort(-(arm_vectors(sample) @ query), kind="stable")
        assert even.ids == [id_ for id_ in best.tolist() if id_ % 2 == 0][:K]
