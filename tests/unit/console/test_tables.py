"""Tables in pages, at the size of a large plan."""

from __future__ import annotations

import pytest

from nudge_sync.console.pages.plan import rank_id
from nudge_sync.console.tables import PAGE_ROWS, TableRequest, cut_page

ROWS = [(row, (row * 7919) % 100_003) for row in range(100_000)]


def cut(request):
    return cut_page(
        ROWS,
        request,
        sort_keys={"id": lambda row: row[0], "value": lambda row: row[1]},
        get_text=lambda row: f"point {row[0]}",
    )


def test_a_page_is_cut_from_a_hundred_thousand_rows():
    page = cut(TableRequest(page=3))
    assert [row[0] for row in page.rows] == list(range(100, 150))
    assert (page.first, page.last, page.page_count) == (101, 150, 2000)
    assert (page.match_count, page.row_count) == (100_000, 100_000)


def test_it_is_sorted_before_it_is_cut():
    values = sorted(row[1] for row in ROWS)
    up = cut(TableRequest("value"))
    down = cut(TableRequest("value", is_descending=True, page=2000))
    assert [row[1] for row in up.rows] == values[:PAGE_ROWS]
    assert [row[1] for row in down.rows] == values[:PAGE_ROWS][::-1]


def test_it_is_searched_in_any_case():
    page = cut(TableRequest(search="POINT 9999"))
    assert [row[0] for row in page.rows] == [9999, *range(99990, 100_000)]
    none = cut(TableRequest(search="nowhere"))
    assert (none.rows, none.first, none.last, none.page_count) == ([], 0, 0, 1)


@pytest.mark.parametrize(("asked", "shown"), [(0, 1), (-5, 1), (10**9, 2000)])
def test_a_page_that_is_not_there_is_the_nearest(asked, shown):
    assert cut(TableRequest(page=asked)).request.page == shown


def test_an_unknown_column_sorts_nothing():
    assert cut(TableRequest("__class__")).rows == ROWS[:PAGE_ROWS]


def test_addresses_keep_what_was_asked_for():
    request = TableRequest("value", is_descending=True, search='a&"b', page=2)
    assert request.to_query("/t") == "/t?sort=value&down=1&search=a%26%22b&page=2"
    assert request.to_query("/t", page="") == "/t?sort=value&down=1&search=a%26%22b"
    assert TableRequest().to_query("/t") == "/t"


def test_ids_are_sorted_as_people_count():
    points = ["b", 20, 3, "10", 100, 1, -2, "a"]
    table = cut_page(points, TableRequest("point"), sort_keys={"point": rank_id}, get_text=str)
    assert table.rows == [-2, 1, 3, 20, 100, "10", "a", "b"]
