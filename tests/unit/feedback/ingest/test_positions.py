"""Where files count positions from."""

import pytest

from nudge_sync.feedback.ingest.positions import LoggedEvent, PositionCounter, contradicts_list
from nudge_sync.feedback.ingest.sources import SourceRow
from nudge_sync.feedback.schema.records import Event, to_event_record


def make_event(position: int | None, point: int = 1, shown: tuple = (), source: str = "f"):
    event = Event("q", "click", point, position)
    return LoggedEvent(SourceRow(source, 1, "", {}), event, to_event_record(event), shown)


def count(events: list[LoggedEvent], files: tuple[str, ...] = ("f",)) -> list[int | None]:
    counter = PositionCounter(files)
    ready = counter.add(events) + counter.finish()
    for logged in ready:
        assert logged.record == to_event_record(logged.event)
    return [logged.event.position for logged in ready]


@pytest.mark.parametrize(
    ("positions", "expected"),
    [([1, 2], [1, 2]), ([0, 2], [1, 3]), ([2, 3], [2, 3]), ([None], [None]), ([], [])],
)
def test_without_lists_a_zero_tells(positions, expected):
    assert count([make_event(position) for position in positions]) == expected


def test_lists_tell_even_without_a_zero():
    shown = (7, 8, 9)
    assert count([make_event(1, 8, shown), make_event(2, 9, shown)]) == [2, 3]
    # Here a zero stands for "not known": the others fit from 1.
    assert count([make_event(2, 8, shown), make_event(3, 9, shown), make_event(0)]) == [2, 3, 0]


def test_lists_that_come_after_their_events_tell_too():
    counter = PositionCounter(("f",))
    assert counter.add([make_event(1, 8), make_event(2, 9)]) == []
    counter.learn_lists({"q": (7, 8, 9)})
    assert [logged.event.position for logged in counter.finish()] == [2, 3]


def test_what_is_no_file_counts_from_one():
    assert count([make_event(0), make_event(1)], files=()) == [0, 1]


def test_each_file_counts_for_itself():
    counter = PositionCounter(("f", "g"))
    assert counter.add([make_event(0), make_event(1, source="g")]) == []
    assert [logged.event.position for logged in counter.finish()] == [1, 1]
    assert counter.zero_based == ["f"]
    assert [logged.event.position for logged in counter.add([make_event(4)])] == [5]


def test_no_more_than_a_sample_is_held_back():
    counter = PositionCounter(("f",))
    assert not counter.add([make_event(2) for _ in range(9_999)])
    assert len(counter.add([make_event(2)])) == 10_000
    counter = PositionCounter(("f",))
    assert len(counter.add([make_event(2, 8, (7, 8)) for _ in range(50)])) == 50


@pytest.mark.parametrize(
    ("position", "point", "expected"),
    [(2, 8, False), (1, 8, True), (9, 8, True), (None, 8, False), (2, 99, False)],
)
def test_a_position_contradicts_a_list_that_holds_the_point(position, point, expected):
    assert contradicts_list(make_event(position, point, (7, 8))) == expected
