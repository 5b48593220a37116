"""Tables of many rows: sorted, searched and cut into pages here, so that a page stays small."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

PAGE_ROWS = 50
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class TableRequest:
    """What part of a table somebody asks for."""

    sort: str = ""
    is_descending: bool = False
    search: str = ""
    page: int = 1

    def to_query(self, path: str, **changes: Any) -> str:
        """Return the address of the table at `path`, with these fields changed."""
        values = {
            "sort": self.sort,
            "down": "1" if self.is_descending else "",
            "search": self.search,
            "page": str(self.page) if self.page > 1 else "",
            **changes,
        }
        query = urlencode({name: value for name, value in values.items() if value})
        return f"{path}?{query}" if query else path


@dataclass(frozen=True, slots=True)
class TablePage(Generic[_Row]):
    """One page of a table."""

    rows: Sequence[_Row]
    request: TableRequest
    """With the page that is shown, also where a later one was asked for."""
    match_count: int
    """Rows that match the search."""
    row_count: int
    """Rows of the whole table."""
    page_count: int

    @property
    def first(self) -> int:
        """The number of the first row shown, from 1; 0 where there is none."""
        return (self.request.page - 1) * PAGE_ROWS + 1 if self.rows else 0

    @property
    def last(self) -> int:
        """The number of the last row shown."""
        return self.first + len(self.rows) - 1 if self.rows else 0


def cut_page(
    rows: Sequence[_Row],
    request: TableRequest,
    *,
    sort_keys: Mapping[str, Callable[[_Row], Any]],
    get_text: Callable[[_Row], str],
) -> TablePage[_Row]:
    """Return the page of `rows` that is asked for.

    sort_keys: column -> what to sort by; an unknown column keeps the order. get_text: what the
    search, in any case, has to be a part of.
    """
    matches: Sequence[_Row] = rows
    if request.search:
        wanted = request.search.casefold()
        matches = [row for row in rows if wanted in get_text(row).casefold()]
    if request.sort in sort_keys:
        matches = sorted(matches, key=sort_keys[request.sort], reverse=request.is_descending)
    page_count = max(1, -(-len(matches) // PAGE_ROWS))
    page = min(max(request.page, 1), page_count)
    start = (page - 1) * PAGE_ROWS
    shown = TableRequest(request.sort, request.is_descending, request.search, page)
    return TablePage(matches[start : start + PAGE_ROWS], shown, len(matches), len(rows), page_count)
