import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.config import FeedbackSettings
from nudge_sync.connector import Record
from nudge_sync.feedback.log import builder, load
from nudge_sync.feedback.log.id_encoding import IdEncoder, IntegerInterner, StringInterner
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.log.sorting import order_rows
from nudge_sync.feedback.log.strings import PackedStringsBuilder
from nudge_sync.feedback.schema.records import (
    VECTOR_DIGEST_FIELD,
    Event,
    Search,
    to_event_record,
    to_search_record,
)

DIMENSION = 4
PIECES = ["a", "b", "\0", "ä", "\ud800", "\udfff", "\ue000", "😀", "a long common beginning "]
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), max_size=40)
WIDE = st.lists(st.tuples(*[st.integers(-1, 2**31 - 1) | st.integers(0, 2)] * 4), max_size=40)


@given(TEXTS)
def test_texts_come_back_and_sort_as_python_sorts_them(names):
    collected = PackedStringsBuilder()
    for start in range(0, len(names), 7):
        collected.add(names[start : start + 7])
    texts = collected.build()
    assert list(texts) == names
    ranked, order = texts.sort()
    assert list(ranked) == sorted(names)
    assert order.tolist() == sorted(range(len(names)), key=names.__getitem__)


@given(WIDE)
def test_rows_are_ordered_as_by_lexsort_however_wide_the_keys(rows):
    keys = np.array(rows, np.int32).reshape(-1, 4).T
    order, fresh = order_rows(list(keys))
    np.testing.assert_array_equal(order, np.lexsort(keys[::-1]))
    ranked = [rows[row] for row in order.tolist()]
    assert fresh.tolist() == [at == 0 or ranked[at - 1] != ranked[at] for at in range(len(rows))]


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5), max_size=20)))
def test_numbers_stay_as_more_codes_come(batches):
    numbered, expected = IntegerInterner(), {}
    for batch in batches:
        found, new = numbered.encode(np.array(batch, np.int64))
        for row in new.tolist():
            assert expected.setdefault(batch[row], len(expected)) == len(expected) - 1
        assert found.tolist() == [expected[code] for code in batch]
    assert numbered.codes().tolist() == list(expected)
    assert numbered.look_up(np.array([6], np.int64)).tolist() == [expected.get(6, -1)]


def test_names_and_points_find_their_places():
    names = StringInterner()
    numbers = [*names.encode(["b", "a", "b"]), *names.encode(["c", "a"])]
    texts, places = names.take_sorted()
    assert [texts[place] for place in places[numbers]] == ["b", "a", "b", "c", "a"]
    ids = [10, "10", 2**62, -1, "a", 2, 2**70, 10]
    points = IdEncoder()
    numbers = [*points.encode(ids[:1]), *points.encode(ids[1:])]
    ranked, places = points.sort()
    assert [ranked[place] for place in places[numbers]] == ids
    assert list(map(str, ranked)) == sorted(map(str, set(ids)))


@pytest.fixture
def records(new_records):
    """Searches and events of somebody careless: names, ids and fields of every kind."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5, DIMENSION)).astype(np.float32)
    queries, events = new_records(), new_records()
    for n in range(60):
        shown = [n % 7, f"p{n % 5}", 2**63 + n % 3][: n % 4]
        document = {"shown": shown, "session_id": f"ä{n // 2}", "client_id": "\ud800"[: n % 2]}
        queries.put([Record(f"q{n}", document, vectors[n % 5])])
        for at, point in enumerate(shown):
            clicked = {"query_id": f"q{n}", "action_name": "click", "object_id": point}
            events.put([Record(f"{n} {at}", {**clicked, "grade": 0.5 * at})])
    events.put([Record("odd", {"query_id": "q1", "action_name": "click", "object_id": True})])
    return queries, events


class InBatches:
    def __init__(self, records, size):
        self.records, self.size = records, size

    def scan(self, where=None, *, vectors=True):
        return self.records.scan(where, vectors=vectors, batch_size=self.size)


def columns(log):
    parts = (log.searches, log.behaviour, log.labels)
    arrays = [
        getattr(part, name) for part in parts for name in part.__slots__ if name != "query_ids"
    ]
    names = [list(some) for some in (log.searches.query_ids, log.session_ids, log.client_ids)]
    return (
        [one.tobytes() for one in (*arrays, log.query_vectors)],
        names,
        log.point_ids,
        log.unreadable_records,
    )


def test_a_log_is_the_same_however_many_values_are_numbered_at_a_time(records, monkeypatch):
    settings = FeedbackSettings()
    whole = columns(load_log(*records, settings, DIMENSION))
    monkeypatch.setattr(builder, "_FLUSH_SIZE", 3)
    by_few = [InBatches(one, 7) for one in records]
    assert columns(load_log(*by_few, settings, DIMENSION)) == whole
    assert whole[3] == 1


def test_reading_tells_how_far_it_is(records):
    told = []
    by_few = [InBatches(one, 25) for one in records]
    load_log(*by_few, FeedbackSettings(), DIMENSION, lambda *said: told.append(said))
    assert told[0] == ("events", 25, 0)
    assert told[-3:] == [("searches", 25, 0), ("searches", 50, 0), ("searches", 60, 0)]


def test_what_is_older_than_the_history_is_not_read(new_records, monkeypatch):
    day = 86_400.0
    now = 20_000 * day + 5_000
    monkeypatch.setattr(load, "time", lambda: now)
    queries, events = new_records(), new_records()
    times = {"undated": 0.0, "old": now - 2.1 * day, "morning": now - 2 * day - 4_000, "new": now}
    for name, time in times.items():
        about = {"query_id": name, "timestamp": time}
        queries.put([Record(name, about, np.ones(DIMENSION, np.float32))])
        for action in ("click", "relevant"):
            said = {**about, "action_name": action, "object_id": 1}
            events.put([Record(f"{name} {action}", said)])

    def names(**settings):
        log = load_log(queries, events, FeedbackSettings(**settings), DIMENSION)
        assert log.action_counts == {"click": len(log.behaviour), "relevant": len(log.labels)}
        assert len(log.labels) == len(log.behaviour) == len(log.searches.query_ids)
        return list(log.searches.query_ids)

    assert names() == sorted(times)
    assert names(history_days=2) == ["morning", "new", "undated"]
    assert names(history_days=0.01) == ["new", "undated"]
    assert names(history_days=10**6) == sorted(times)


class Counting:
    """Records that count the vectors they gave."""

    def __init__(self, records):
        self.records, self.given = records, 0

    def scan(self, where=None, *, vectors=True):
        for batch in self.records.scan(where, vectors=vectors):
            self.given += sum(one.vector is not None for one in batch)
            yield batch

    def get(self, keys, *, vectors=True):
        self.given += len(keys) if vectors else 0
        return self.records.get(keys, vectors=vectors)


@pytest.fixture
def alike(new_records):
    """Sixty searches with five different vectors, one of them never clicked on."""
    vectors = np.random.default_rng(1).normal(size=(5, DIMENSION)).astype(np.float32)
    queries, events = Counting(new_records()), new_records()
    searches = [Search(f"q{n}", vectors[n % 5], shown=(1, 2, 3)) for n in range(60)]
    queries.records.put(list(map(to_search_record, searches)))
    clicks = [Event(f"q{n}", "click", n % 3) for n in range(60) if n % 5]
    events.put(list(map(to_event_record, clicks)))
    return queries, events


def test_of_equal_vectors_one_is_read(alike):
    queries, events = alike
    log = load_log(queries, events, FeedbackSettings(), DIMENSION)
    assert (queries.given, len(log.query_vectors)) == (4, 4)
    assert sorted(set(log.searches.vector_row.tolist())) == [-1, 0, 1, 2, 3]


@pytest.mark.parametrize("damage", ["nothing said", "a lie", "another dimension"])
def test_the_log_is_the_same_where_searches_do_not_say_which_vector_they_have(alike, damage):
    queries, events = alike
    # Of the vector that nobody clicked on none is read.
    before = columns(load_log(queries, events, FeedbackSettings(), DIMENSION))
    queries.given, said = 0, {}
    for batch in list(queries.records.scan()):
        for one in batch:
            if damage == "nothing said" and one.key == "q7":
                del one.document[VECTOR_DIGEST_FIELD]
            elif damage == "a lie":
                said.setdefault(one.document[VECTOR_DIGEST_FIELD], f"{len(said)}")
                one.document[VECTOR_DIGEST_FIELD] = said[one.document[VECTOR_DIGEST_FIELD]]
            queries.records.put([one])
    if damage == "another dimension":
        odd = Search("q5", np.ones(DIMENSION + 1, np.float32), shown=(1, 2, 3))
        queries.records.put([to_search_record(odd)])
    after = columns(load_log(queries, events, FeedbackSettings(), DIMENSION))
    assert after == before
    assert queries.given == (4 if damage == "another dimension" else 60 + 4 * (damage == "a lie"))
