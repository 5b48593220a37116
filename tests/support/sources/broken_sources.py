"""Feedback sources that each break one promise; the kit has to catch every one."""

from __future__ import annotations

import random

from nudge_sync.errors import SourceError
from nudge_sync.source import MAX_PAGE_ROWS, Page, SourceFacts
from nudge_sync.testing.memory_source import MemorySource, MemoryWorld


class NamesNoProduct(MemorySource):
    def describe(self):
        self._require_answer()
        return SourceFacts("", "1", frozenset())


class ReadsOnePage(MemorySource):
    def read_pages(self, cursor=""):
        yield from list(super().read_pages(cursor))[:1]


class IgnoresTheCursor(MemorySource):
    def read_pages(self, cursor=""):
        self.parse_cursor(cursor)
        yield from super().read_pages("")


class GivesTheLastCursorFirst(MemorySource):
    def read_pages(self, cursor=""):
        pages = list(super().read_pages(cursor))
        yield from [Page(page.rows, pages[-1].cursor) for page in pages]


class GivesNoCursor(MemorySource):
    def read_pages(self, cursor=""):
        yield from [Page(page.rows, "") for page in super().read_pages(cursor)]


class GivesLongCursors(MemorySource):
    def read_pages(self, cursor=""):
        for page in super().read_pages(cursor):
            yield Page(page.rows, page.cursor + " " * 20_000)


class TakesAnyCursor(MemorySource):
    def parse_cursor(self, cursor):
        return super().parse_cursor(cursor) if '"read"' in cursor else 0


class FillsPages(MemorySource):
    def read_pages(self, cursor=""):
        for page in super().read_pages(cursor):
            yield Page([*page.rows] * MAX_PAGE_ROWS, page.cursor)


class ChangesIds(MemorySource):
    def read_pages(self, cursor=""):
        salt = random.random()
        yield from _change_rows(super().read_pages(cursor), query_id=lambda id_: f"{id_} {salt}")


class CountsFromZero(MemorySource):
    def read_pages(self, cursor=""):
        yield from _change_rows(super().read_pages(cursor), position=lambda position: position - 1)


class SaysWhenItRead(MemorySource):
    def read_pages(self, cursor=""):
        yield from _change_rows(super().read_pages(cursor), time=lambda moment: moment + 3600)


class PutsTheWorstFirst(MemorySource):
    def read_pages(self, cursor=""):
        yield from _change_rows(super().read_pages(cursor), shown=lambda ids: ids[::-1])


class HidesWhatItKnows(MemorySource):
    def read_pages(self, cursor=""):
        yield from _change_rows(super().read_pages(cursor), session=lambda _: None)


class PutsEventsFirst(MemorySource):
    def read_pages(self, cursor=""):
        self.rows = sorted(self.rows, key=lambda row: row["type"])
        yield from super().read_pages(cursor)


class ReadsNoLateOpinions(MemorySource):
    def read_pages(self, cursor=""):
        for page in super().read_pages(cursor):
            rows = [row for row in page.rows if not cursor or row["type"] == "search"]
            yield Page(rows, page.cursor)


class InventsGrades(MemorySource):
    def read_pages(self, cursor=""):
        yield from _change_rows(super().read_pages(cursor), grade=lambda grade: grade + 1)


class FailsWithAnotherError(MemorySource):
    def _require_answer(self):
        if not self.is_reachable:
            raise SourceError("down")


class YieldsWhatCannotBeStored(MemorySource):
    def read_pages(self, cursor=""):
        yield from _change_rows(super().read_pages(cursor), time=lambda _: "lately")


class InventsSearches(MemorySource):
    def __init__(self, rows, *, is_reachable=True):
        super().__init__(rows or [{"type": "search"}], is_reachable=is_reachable)


class ClosesOnce(MemorySource):
    is_open = True

    def close(self):
        assert self.is_open
        self.is_open = False


class TrustsModels(MemoryWorld):
    def log_opinions(self, opinions):
        for opinion in opinions:
            super().log_opinions([type(opinion)(opinion.search, opinion.point, opinion.grade)])


def _change_rows(pages, **changes):
    """Yield pages whose rows have each named field put through a function."""
    for page in pages:
        rows = [
            {name: changes.get(name, lambda same: same)(value) for name, value in row.items()}
            for row in page.rows
        ]
        yield Page(rows, page.cursor)


def make_world(kind):
    """Return a world of this kind of source, or of this kind itself."""
    if issubclass(kind, MemoryWorld):
        return kind()
    world = MemoryWorld()
    world.source_class = kind
    return world


# Each with the test of the kit that is about the promise it breaks.
BROKEN_SOURCES = {
    NamesNoProduct: "test_facts",
    InventsSearches: "test_nothing_is_there",
    ReadsOnePage: "test_searches",
    SaysWhenItRead: "test_searches",
    PutsTheWorstFirst: "test_searches",
    HidesWhatItKnows: "test_searches",
    CountsFromZero: "test_opinions",
    InventsGrades: "test_opinions",
    TrustsModels: "test_what_models_judge_is_left_out",
    YieldsWhatCannotBeStored: "test_rows_can_be_stored",
    GivesNoCursor: "test_pages_and_cursors",
    GivesLongCursors: "test_pages_and_cursors",
    FillsPages: "test_pages_and_cursors",
    ChangesIds: "test_twice_is_the_same",
    PutsEventsFirst: "test_a_search_comes_before_its_events",
    IgnoresTheCursor: "test_only_what_is_new",
    ReadsNoLateOpinions: "test_an_opinion_that_comes_late",
    GivesTheLastCursorFirst: "test_going_on_from_any_page",
    TakesAnyCursor: "test_a_cursor_that_no_page_had",
    FailsWithAnotherError: "test_nobody_answers",
    ClosesOnce: "test_closing_twice",
}
