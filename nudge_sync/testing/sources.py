"""The conformance kit of feedback sources; see `nudge_sync.testing.source_conformance`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from nudge_sync.errors import InputError, SourceUnreachable
from nudge_sync.feedback.schema.fields import normalise_row
from nudge_sync.feedback.schema.rows import parse_row
from nudge_sync.source import MAX_CURSOR_LENGTH, MAX_PAGE_ROWS, FeedbackSource, Page
from nudge_sync.testing.source_world import LoggedOpinion, LoggedSearch, SourceWorld

QUERY_DIMENSION = 4
_DAY = 86_400.0
_OLD_SEARCHES, _NEW_SEARCHES = 6, 3
_TIME_TOLERANCE = 0.01
"""Seconds by which a product may round."""


class SourceConformance:
    """Every promise of `nudge_sync/source/contract.py`, with a fixture `world: SourceWorld`."""

    def test_facts(self, world: SourceWorld) -> None:
        with closing(world.open()) as source:
            facts = source.describe()
        assert facts.product
        assert facts.unknown <= {
            "query_vector", "text", "shown", "rank", "time", "session", "client"
        }  # fmt: skip

    def test_nothing_is_there(self, world: SourceWorld) -> None:
        with closing(world.open()) as source:
            assert list_rows(source.read_pages()) == []

    def test_searches(self, world: SourceWorld) -> None:
        searches = make_searches(_OLD_SEARCHES, days_ago=3)
        world.log_searches(searches)
        with closing(world.open()) as source:
            unknown = source.describe().unknown
            rows = select_searches(list_rows(source.read_pages()))
        by_text = {row["text"]: row for row in rows}
        assert by_text.keys() == {search.text for search in searches}
        assert len({row["query_id"] for row in rows}) == len(searches)
        for search in searches:
            check_search(by_text[search.text], search, unknown)

    def test_opinions(self, world: SourceWorld) -> None:
        searches = make_searches(_OLD_SEARCHES, days_ago=3)
        opinions = make_opinions(searches)
        world.log_searches(searches)
        world.log_opinions(opinions)
        with closing(world.open()) as source:
            unknown = source.describe().unknown
            rows = list_rows(source.read_pages())
        check_opinions(rows, opinions, unknown)

    def test_what_models_judge_is_left_out(self, world: SourceWorld) -> None:
        searches = make_searches(2, days_ago=3)
        world.log_searches(searches)
        human, model = make_opinions(searches)
        judged = LoggedOpinion(model.search, model.point, model.grade, is_from_model=True)
        world.log_opinions([human, judged])
        with closing(world.open()) as source:
            assert len(select_events(list_rows(source.read_pages()))) == 1

    def test_rows_can_be_stored(self, world: SourceWorld) -> None:
        searches = make_searches(_OLD_SEARCHES, days_ago=3)
        world.log_searches(searches)
        world.log_opinions(make_opinions(searches))
        with closing(world.open()) as source:
            for row in list_rows(source.read_pages()):
                is_search = row.get("type") == "search"
                vector = {"query_vector": [1.0] * QUERY_DIMENSION} if is_search else {}
                parse_row({**vector, **row}, QUERY_DIMENSION)

    def test_pages_and_cursors(self, world: SourceWorld) -> None:
        searches = make_searches(_OLD_SEARCHES, days_ago=3)
        world.log_searches(searches)
        with closing(world.open()) as source:
            pages = list(source.read_pages())
        assert pages
        for page in pages:
            assert len(page.rows) <= MAX_PAGE_ROWS
            assert isinstance(page.cursor, str)
            assert 0 < len(page.cursor) <= MAX_CURSOR_LENGTH

    def test_twice_is_the_same(self, world: SourceWorld) -> None:
        searches = make_searches(_OLD_SEARCHES, days_ago=3)
        world.log_searches(searches)
        world.log_opinions(make_opinions(searches))
        with closing(world.open()) as source:
            first = list_rows(source.read_pages())
        with closing(world.open()) as source:
            second = list_rows(source.read_pages())
        assert [freeze(row) for row in first] == [freeze(row) for row in second]

    def test_a_search_comes_before_its_events(self, world: SourceWorld) -> None:
        searches = make_searches(_OLD_SEARCHES, days_ago=3)
        world.log_searches(searches)
        world.log_opinions(make_opinions(searches))
        seen: set[str] = set()
        with closing(world.open()) as source:
            for page in source.read_pages():
                seen |= {row["query_id"] for row in select_searches(page.rows)}
                assert {row["query_id"] for row in select_events(page.rows)} <= seen

    def test_only_what_is_new(self, world: SourceWorld) -> None:
        old = make_searches(_OLD_SEARCHES, days_ago=3)
        world.log_searches(old)
        cursor = read_last_cursor(world)
        new = make_searches(_NEW_SEARCHES, days_ago=0, first=_OLD_SEARCHES)
        world.log_searches(new)
        with closing(world.open()) as source:
            rows = select_searches(list_rows(source.read_pages(cursor)))
        texts = {row["text"] for row in rows}
        assert {search.text for search in new} <= texts
        assert len(texts & {search.text for search in old}) <= 1, "old searches came again"

    def test_nothing_new(self, world: SourceWorld) -> None:
        world.log_searches(make_searches(_OLD_SEARCHES, days_ago=3))
        cursor = read_last_cursor(world)
        with closing(world.open()) as source:
            pages = list(source.read_pages(cursor))
        assert len(select_searches([row for page in pages for row in page.rows])) <= 1
        again = pages[-1].cursor if pages else cursor
        with closing(world.open()) as source:
            assert len(select_searches(list_rows(source.read_pages(again)))) <= 1

    def test_an_opinion_that_comes_late(self, world: SourceWorld) -> None:
        searches = make_searches(_OLD_SEARCHES, days_ago=3)
        world.log_searches(searches)
        cursor = read_last_cursor(world)
        opinions = make_opinions(searches)
        world.log_opinions(opinions)
        with closing(world.open()) as source:
            unknown = source.describe().unknown
            full = list_rows(source.read_pages())
        with closing(world.open()) as source:
            late = select_events(list_rows(source.read_pages(cursor)))
        check_opinions([*select_searches(full), *late], opinions, unknown)

    def test_going_on_from_any_page(self, world: SourceWorld) -> None:
        searches = make_searches(_OLD_SEARCHES, days_ago=3)
        world.log_searches(searches)
        world.log_opinions(make_opinions(searches))
        with closing(world.open()) as source:
            pages = list(source.read_pages())
        every = {freeze(row) for row in list_rows(pages)}
        for index, page in enumerate(pages):
            before = {freeze(row) for row in list_rows(pages[: index + 1])}
            with closing(world.open()) as source:
                rest = {freeze(row) for row in list_rows(source.read_pages(page.cursor))}
            assert before | rest == every

    def test_a_cursor_that_no_page_had(self, world: SourceWorld) -> None:
        world.log_searches(make_searches(2, days_ago=3))
        for cursor in ("nonsense", "{}", "[1]"):
            with closing(world.open()) as source, pytest.raises(InputError):
                list(source.read_pages(cursor))

    def test_nobody_answers(self, world: SourceWorld) -> None:
        with closing(world.open_unreachable()) as source:
            with pytest.raises(SourceUnreachable):
                source.describe()
            with pytest.raises(SourceUnreachable):
                list(source.read_pages())

    def test_closing_twice(self, world: SourceWorld) -> None:
        source = world.open()
        assert isinstance(source, FeedbackSource)
        source.close()
        source.close()


def make_searches(count: int, days_ago: float, first: int = 0) -> list[LoggedSearch]:
    """Return searches, a second apart, that began so many days ago."""
    start = math.floor(time.time() - days_ago * _DAY) - 60.0
    numbers = range(first, first + count)
    return [
        LoggedSearch(
            text=f"question {number}",
            vector=tuple(
                float(part) for part in np.eye(QUERY_DIMENSION)[number % QUERY_DIMENSION] + 0.25
            ),
            shown=(f"p{number}", f"p{number + 1}", f"p{number + 2}"),
            time=start + number - first,
            session=f"s{number // 3}",
            client=f"c{number // 6}",
        )
        for number in numbers
    ]


def _make_vector(number: int) -> tuple[float, ...]:
    return tuple(map(float, np.eye(QUERY_DIMENSION)[number % QUERY_DIMENSION] + 0.25))


def make_opinions(searches: Sequence[LoggedSearch]) -> list[LoggedOpinion]:
    """Return a person's opinion on one result of each search, good or bad."""
    return [
        LoggedOpinion(search, search.shown[index % 3], float(index % 2))
        for index, search in enumerate(searches)
    ]


def list_rows(pages: Iterable[Page]) -> list[dict[str, Any]]:
    """Return the rows of all pages, with their fields under one name each."""
    return [normalise_row(row) for page in pages for row in page.rows]


def select_searches(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the searches among rows."""
    return [row for row in rows if row.get("type") == "search"]


def select_events(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the events among rows that name a point."""
    return [row for row in rows if row.get("type") == "event" and row.get("point") is not None]


def read_last_cursor(world: SourceWorld) -> str:
    """Return the cursor of the last page."""
    with closing(world.open()) as source:
        return list(source.read_pages())[-1].cursor


def check_search(row: dict[str, Any], search: LoggedSearch, unknown: Iterable[str]) -> None:
    """Assert that a row says of a search what was logged, and nothing of what is not known."""
    expected = {
        "shown": list(search.shown),
        "session": search.session,
        "client": search.client,
    }
    for name, value in expected.items():
        assert row.get(name) == (None if name in unknown else value), name
    if "time" in unknown:
        assert row.get("time") is None
    else:
        assert abs(row["time"] - search.time) < _TIME_TOLERANCE
    if "query_vector" in unknown:
        assert row.get("query_vector") is None
    else:
        np.testing.assert_allclose(row["query_vector"], search.vector)


def check_opinions(
    rows: Iterable[dict[str, Any]], opinions: Sequence[LoggedOpinion], unknown: Iterable[str]
) -> None:
    """Assert that each opinion is one event on its point, and that there is no other."""
    listed = list(rows)
    text_by_id = {row["query_id"]: row["text"] for row in select_searches(listed)}
    events = {freeze(row): row for row in select_events(listed)}.values()
    found = {(text_by_id[row["query_id"]], row["point"]): row for row in events}
    assert len(found) == len(events)
    assert found.keys() == {(opinion.search.text, opinion.point) for opinion in opinions}
    for opinion in opinions:
        row = found[opinion.search.text, opinion.point]
        assert row["grade"] == opinion.grade
        position = None if "rank" in unknown else opinion.search.shown.index(opinion.point) + 1
        assert row.get("position") == position


def freeze(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a row as something that can be compared and counted."""
    return tuple(_freeze_fields(row))


def _freeze_fields(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in sorted(row.items()):
        yield name, np.asarray(value).tobytes().hex() if name == "query_vector" else repr(value)
