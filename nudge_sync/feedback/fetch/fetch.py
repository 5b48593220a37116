"""Fetching of what is new in a feedback source: page by page, the cursor after the rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.errors import InputError
from nudge_sync.feedback.fetch.model_check import ModelChecker
from nudge_sync.feedback.fetch.page_rows import build_page_source
from nudge_sync.feedback.fetch.report import FetchReport
from nudge_sync.feedback.ingest.embedding import Embedder, embed_source
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.feedback.schema.values import BadRow
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.settings.sources import SourceSettings
from nudge_sync.source import FeedbackSource, Page, open_feedback_source
from nudge_sync.store.source_cursor import CursorStore
from nudge_sync.store.target import Target

_SAMPLE_ROWS = 10
"""Rows that a dry run shows."""


@dataclass(frozen=True, slots=True)
class FetchSample:
    """What a dry run saw: what would come of the first page, and its first rows."""

    report: FetchReport
    rows: list[dict[str, Any]]
    points: dict[str, bool]
    """Each point id of the page as it is written -> whether the collection has it."""

    def summary(self) -> dict[str, Any]:
        """Return the fields that `feedback pull --dry-run --json` prints."""
        found = sum(self.points.values())
        return self.report.summary() | {
            "dry_run": True,
            "sample": self.rows,
            "points": {"named": len(self.points), "found": found},
            "unknown_points": [name for name, is_there in self.points.items() if not is_there][:10],
        }


def fetch_feedback(
    target: Target,
    settings: FeedbackSettings,
    source_settings: SourceSettings,
    progress: Progress = ignore_progress,
) -> FetchReport:
    """Store what the source has since the last time, and return what came of it.

    The cursor is stored after the rows of its page: after a crash in between they are read and
    stored again, which changes nothing. Raises SourceError, ConfigError, and ModelMismatch before
    the first row of a page whose searches are of another model.
    """
    cursors = CursorStore(target, source_settings)
    with _open_source(source_settings) as source:
        fetch = _Fetch(target, settings, source_settings, source)
        for page in _read_pages(source, cursors.read()):
            fetch.store_page(page)
            cursors.write(page.cursor)
            rows = fetch.report.counts["rows"]
            progress("fetch", rows, rows)
        return fetch.report


def sample_feedback(
    target: Target, settings: FeedbackSettings, source_settings: SourceSettings
) -> FetchSample:
    """Return what would be stored of the first page with rows; nothing is. Raises as a fetch."""
    cursor = CursorStore(target, source_settings).read()
    with _open_source(source_settings) as source:
        fetch = _Fetch(target, settings, source_settings, source, dry_run=True)
        page = next((page for page in _read_pages(source, cursor) if page.rows), Page([], ""))
        rows = fetch.store_page(page)
        return FetchSample(
            fetch.report, _show_rows(rows[:_SAMPLE_ROWS]), _find_points(rows, target)
        )


@contextmanager
def _open_source(settings: SourceSettings) -> Iterator[FeedbackSource]:
    source = open_feedback_source(settings.source, settings.section)
    try:
        yield source
    finally:
        source.close()


def _read_pages(source: FeedbackSource, cursor: str) -> Iterator[Page]:
    """Yield the pages since `cursor`, from the beginning if the source does not know it."""
    pages = source.read_pages(cursor)
    try:
        first = next(pages, None)
    except InputError:
        pages = source.read_pages("")
        first = next(pages, None)
    if first is not None:
        yield first
        yield from pages


@dataclass
class _Fetch:
    target: Target
    settings: FeedbackSettings
    source_settings: SourceSettings
    source: FeedbackSource
    dry_run: bool = False
    report: FetchReport = field(init=False)
    destination: Destination = field(init=False)
    embedder: Embedder | None = field(init=False)
    checker: ModelChecker | None = field(init=False)

    def __post_init__(self) -> None:
        self.report = FetchReport(self.source_settings.name, self.source.describe())
        target, name = self.target, self.source_settings.embed
        searches = open_feedback(target, self.settings).queries
        self.destination = Destination(target.queries, target.events, target.collection, searches)
        self.embedder = Embedder.from_name(name) if name else None
        self.checker = (
            ModelChecker(target.collection, self.source_settings.name)
            if self.source_settings.check_model
            else None
        )

    def store_page(self, page: Page) -> list[SourceRow]:
        """Store the good rows of a page, and return all of them as they would be stored."""
        first_line = self.report.counts["rows"] + 1
        source = build_page_source(
            self.source_settings.name, page.rows, first_line, self.target.queries
        )
        if self.embedder is not None:
            source = embed_source(source, self.embedder)
        rows = list(source.read_rows())
        if self.checker is not None:
            self.checker.add_rows([row.content for row in rows])
            self.report.model_check = self.checker.judge()
            self.checker.refuse_mismatch()
        imported = import_rows(
            [Source(lambda: iter(rows), lambda: len(rows))],
            self.destination,
            actions=self.settings.actions,
            dry_run=self.dry_run,
        )
        self.report.add_page(imported)
        return rows


def _show_rows(rows: list[SourceRow]) -> list[dict[str, Any]]:
    return [_show_row(row) for row in rows]


def _show_row(row: SourceRow) -> dict[str, Any]:
    if isinstance(row.content, BadRow):
        return {"refused": row.content.reason, "detail": row.content.detail}
    shown = {name: value for name, value in row.content.items() if value is not None}
    if "query_vector" in shown:
        shown["query_vector"] = f"{len(shown['query_vector'])} components"
    return shown


def _find_points(rows: list[SourceRow], target: Target) -> dict[str, bool]:
    ids = []
    for row in rows:
        if not isinstance(row.content, BadRow):
            shown, point = row.content.get("shown"), row.content.get("point")
            ids += [*(shown if isinstance(shown, (list, tuple)) else ())]
            ids += [] if point is None else [point]
    names = [each for each in dict.fromkeys(ids) if isinstance(each, (str, int))]
    resolver = PointIdResolver(target.collection)
    resolver.look_up(names)
    return {str(each): resolver.get(each) is not None for each in names}
