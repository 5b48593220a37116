"""Credits of sessions, on logs written by hand and on shuffled ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_sync.experiment.evidence.credit import compute_credits, load_credits
from nudge_sync.experiment.evidence.first_visits import SESSION_GAP
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.exposure import Exposure
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore

DIMENSION, START = 4, 1_700_000_000.0
LATER = START + 10 * SESSION_GAP
SPLIT, INTERLEAVE = CanarySettings(mode="split"), CanarySettings(mode="interleave")
MOVED = (True, False, False)
SHOWN = (10, 11, 12)


def make_search(name, session, arm, *, at=0.0, client="", teams=(), fallback="", experiment="c:1"):
    """Return a search that showed SHOWN, of which the first document moves."""
    vector = np.zeros(DIMENSION, np.float32)
    vector[sum(map(ord, name)) % DIMENSION] = 1.0
    exposure = Exposure(experiment, arm, teams, MOVED, fallback)
    return Search(
        name, vector, timestamp=START + at, shown=SHOWN, session_id=session, client_id=client,
        exposure=exposure,
    )  # fmt: skip


def make_click(name, point, *, at=1.0, action="click"):
    return Event(name, action, point, timestamp=START + at)


class Logged:
    """Searches and events on a collection in memory."""

    def __init__(self, searches, events):
        store = MemoryStore()
        store.create("docs", DIMENSION)
        self.target = open_target(MemoryDatabase(store), "docs")
        self.target.queries.put([to_search_record(search) for search in searches])
        self.target.events.put([to_event_record(event) for event in events])
        self.exposures = {search.query_id: search.exposure for search in searches}

    def credits(self, canary, unit="session", now=LATER):
        log = load_log(self.target.queries, self.target.events, FeedbackSettings(), DIMENSION)
        return compute_credits(log, self.exposures, FeedbackSettings(), canary, unit=unit, now=now)


def test_a_split_session_is_worth_the_mean_of_its_searches():
    logged = Logged(
        [
            make_search("a", "s1", "treatment"),
            make_search("b", "s1", "treatment", at=10),
            make_search("c", "s2", "control", at=20),
            make_search("d", "s3", "control", at=30),
        ],
        [make_click("a", 10), make_click("c", 11, at=21), make_click("c", 10, at=22)],
    )
    credits_ = logged.credits(SPLIT)
    assert credits_.credit.tolist() == [0.5, 1.0, 0.0]
    assert credits_.unmoved_credit.tolist() == [0.25, 1.0, 0.0]
    assert credits_.is_treatment.tolist() == [True, False, False]
    assert credits_.assignments.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("metric", "expected"), [("clicks", 1.0), ("actions", 2 / 3), ("mrr", 0.5)]
)
def test_each_metric_values_the_best_click(metric, expected):
    logged = Logged(
        [make_search("a", "s", "control")],
        [make_click("a", 11, action="add_to_cart"), make_click("a", 12)],
    )
    canary = CanarySettings(mode="split", metric=metric)
    assert logged.credits(canary).credit.tolist() == pytest.approx([expected])


def test_an_interleaved_session_is_worth_the_balance_of_its_teams():
    logged = Logged(
        [
            make_search("a", "s1", "interleaved", teams=("treatment", "control", "both")),
            make_search("b", "s2", "interleaved", at=9, teams=("both", "control", "treatment")),
            make_search("c", "s3", "interleaved", at=19, teams=("both", "both", "both")),
        ],
        [
            make_click("a", 10),
            make_click("b", 11, at=10),
            make_click("b", 10, at=10),
            make_click("b", 12, at=11),
            make_click("b", 12, at=12),
            make_click("c", 12, at=20),
        ],
    )
    credits_ = logged.credits(INTERLEAVE)
    assert credits_.credit.tolist() == [1.0, 0.0, 0.0]
    assert credits_.unmoved_credit.tolist() == [0.5, 0.0, 0.0]
    assert credits_.assignments.tolist() == [True, False]


def test_searches_of_the_other_mode_do_not_count():
    logged = Logged(
        [
            make_search("a", "s1", "interleaved", teams=("treatment", "control", "both")),
            make_search("c", "s3", "treatment", fallback="deadline"),
            make_search("d", "s4", "control"),
        ],
        [],
    )
    assert logged.credits(SPLIT).is_treatment.tolist() == [True, False]
    assert len(logged.credits(INTERLEAVE)) == 1


@pytest.mark.parametrize("canary", [SPLIT, INTERLEAVE])
def test_a_click_where_no_list_was_logged_is_worth_nothing(canary):
    arm = "control" if canary is SPLIT else "interleaved"
    unlisted = replace(
        make_search("a", "s1", arm), shown=(), exposure=Exposure("c:1", arm, moved=())
    )
    click = Event("a", "click", 10, position=40, timestamp=START)
    credits_ = Logged([unlisted, make_search("b", "s2", arm)], [click]).credits(canary)
    assert credits_.credit.tolist() == [0.0, 0.0]


def test_a_session_that_goes_on_or_saw_both_arms_does_not_count():
    logged = Logged(
        [
            make_search("a", "s1", "control"),
            make_search("b", "s2", "control"),
            make_search("c", "s2", "treatment", at=5),
            make_search("d", "s3", "treatment"),
        ],
        [make_click("d", 10, at=500)],
    )
    credits_ = logged.credits(SPLIT, now=START + SESSION_GAP + 100)
    assert len(credits_) == 1
    assert credits_.left_out == {"bots": 0, "both arms": 1, "not over yet": 1}
    assert credits_.newest_click == START + 500
    assert len(logged.credits(SPLIT, now=START + SESSION_GAP + 500)) == 2


def test_what_comes_after_a_quiet_half_hour_does_not_count():
    back = 5 * SESSION_GAP
    logged = Logged(
        [
            make_search("a", "s1", "control", client="x"),
            make_search("b", "s1", "control", at=SESSION_GAP - 1, client="x"),
            make_search("c", "s2", "control", at=back, client="x"),
            make_search("d", "s3", "treatment", at=SESSION_GAP, client="y"),
        ],
        [
            make_click("a", 10, at=SESSION_GAP - 2),
            make_click("b", 11, at=back),
            make_click("b", 12, at=back, action="purchase"),
            make_click("c", 10, at=back + 1),
            make_click("d", 10, at=SESSION_GAP + 1),
        ],
    )
    credits_ = logged.credits(SPLIT, unit="client", now=START + back + 10)
    assert credits_.credit.tolist() == [0.5, 1.0]
    assert credits_.is_treatment.tolist() == [False, True]
    assert credits_.newest_click == START + back + 1


@settings(max_examples=25)
@given(st.data())
def test_a_later_look_finds_what_an_earlier_one_found_and_more_after_it(data):
    mode = data.draw(st.sampled_from(["split", "interleave"]))
    canary = SPLIT if mode == "split" else INTERLEAVE
    hours = st.integers(0, 60).map(lambda tenths: tenths * 360.0)
    searches, events = [], []
    for client in range(data.draw(st.integers(1, 6))):
        arm = data.draw(st.sampled_from(ARMS[mode]))
        for number, at in enumerate(data.draw(st.lists(hours, min_size=1, max_size=6))):
            name = f"{client} {number}"
            teams = data.draw(TEAMS) if mode == "interleave" else ()
            searches.append(make_search(name, name, arm, at=at, client=f"c{client}", teams=teams))
            points = data.draw(st.lists(st.sampled_from(SHOWN), max_size=2))
            events += [make_click(name, point, at=at + data.draw(hours)) for point in points]

    def look(at):
        logged = Logged(
            [search for search in searches if search.timestamp <= START + at],
            [event for event in events if event.timestamp <= START + at],
        )
        return logged.credits(canary, unit="client", now=START + at)

    former = look(0.0)
    for at in np.arange(1, 14) * SESSION_GAP:
        found = look(at)
        for name in ("credit", "unmoved_credit", "is_treatment", "assignments"):
            known = getattr(former, name).tolist()
            assert getattr(found, name).tolist()[: len(known)] == known, name
        former = found
    assert len(former) == len({search.client_id for search in searches})


def test_clients_are_the_unit_where_they_are_assigned_and_nameless_searches_their_own():
    logged = Logged(
        [
            make_search("a", "s1", "control", client="x"),
            make_search("b", "s2", "control", client="x"),
            make_search("c", "", "control"),
            make_search("d", "", "control"),
        ],
        [],
    )
    assert len(logged.credits(SPLIT, unit="client")) == 3
    assert len(logged.credits(SPLIT, unit="session")) == 4


def test_bots_and_clicks_on_what_was_not_shown_do_not_count():
    searches = [
        make_search(f"p{n:02d}", f"s{n}", "control", at=n, client=f"c{n}") for n in range(30)
    ]
    events = [make_click(f"p{n:02d}", 11, at=n) for n in range(30)]
    bot = [make_search(f"q{n:03d}", "bot", "treatment", at=n, client="bot") for n in range(200)]
    events += [make_click(f"q{n:03d}", point, at=n) for n in range(200) for point in SHOWN]
    events += [make_click("p00", 99)]
    credits_ = Logged(searches + bot, events).credits(SPLIT)
    assert len(credits_) == 30
    assert not credits_.is_treatment.any()
    assert credits_.left_out["bots"] == 1
    assert credits_.credit.tolist() == [1.0] * 30


ARMS = {"split": ("control", "treatment"), "interleave": ("interleaved",)}
SWAPPED = {"control": "treatment", "treatment": "control", "both": "both"}
TEAMS = st.permutations(["control", "treatment", "both"]).map(tuple)


@st.composite
def experiments(draw, mode):
    """Return searches and clicks of a few sessions."""
    searches, events = [], []
    for session in range(draw(st.integers(1, 5))):
        arm = draw(st.sampled_from(ARMS[mode]))
        for number in range(draw(st.integers(1, 3))):
            name, at = f"{session} {number}", draw(st.integers(0, 99)) * 1.0
            teams = draw(TEAMS) if mode == "interleave" else ()
            searches.append(make_search(name, f"s{session}", arm, at=at, teams=teams))
            clicks = draw(
                st.lists(st.tuples(st.sampled_from(SHOWN), st.integers(0, 9)), max_size=3)
            )
            events += [make_click(name, point, at=at + after) for point, after in clicks]
    return searches, events


def assert_same(left, right):
    for name in ("credit", "unmoved_credit", "is_treatment", "assignments"):
        assert getattr(left, name).tolist() == getattr(right, name).tolist(), name
    assert left.left_out == right.left_out


@settings(max_examples=15)
@given(st.sampled_from(["split", "interleave"]).flatmap(experiments), st.randoms())
def test_the_order_of_the_records_is_irrelevant(experiment, random):
    searches, events = experiment
    canary = SPLIT if searches[0].exposure.arm in ARMS["split"] else INTERLEAVE
    first = Logged(searches, events).credits(canary)
    random.shuffle(searches)
    random.shuffle(events)
    assert_same(first, Logged(searches, events).credits(canary))


@settings(max_examples=15)
@given(experiments("interleave"))
def test_swapping_the_teams_mirrors_the_credit(experiment):
    searches, events = experiment
    swapped = [
        replace(
            search,
            exposure=replace(
                search.exposure, teams=tuple(SWAPPED[team] for team in search.exposure.teams)
            ),
        )
        for search in searches
    ]
    credits_ = Logged(searches, events).credits(INTERLEAVE)
    mirrored = Logged(swapped, events).credits(INTERLEAVE)
    assert mirrored.credit.tolist() == (-credits_.credit).tolist()
    assert mirrored.assignments.tolist() == (~credits_.assignments).tolist()


def test_the_log_of_an_experiment_is_read_from_the_database():
    logged = Logged(
        [
            make_search("a", "s1", "treatment"),
            make_search("b", "s2", "control", at=5),
            make_search("c", "s3", "control", experiment="c:2"),
            replace(make_search("d", "s4", "control"), exposure=None),
        ],
        [make_click("a", 10), make_click("c", 10), make_click("d", 10)],
    )
    credits_ = load_credits(
        logged.target,
        "c:1",
        FeedbackSettings(),
        SPLIT,
        unit="session",
        started=START,
        now=LATER,
    )
    assert credits_.credit.tolist() == [1.0, 0.0]
    assert credits_.is_treatment.tolist() == [True, False]
    none = load_credits(
        logged.target, "c:9", FeedbackSettings(), SPLIT, unit="session", started=START, now=LATER
    )
    assert len(none) == 0
