"""Fetching of what is new in a feedback source: page by page, the cursor after the rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.errors import InputError
from nudge_sync.feedback.embedding.embedder import Embedder
from nudge_sync.feedback.embedding.providers import open_embedder
from nudge_sync.feedback.embedding.rows import embed_source
from nudge_sync.feedback.embedding.stored_vectors import StoredVectors
from nudge_sync.feedback.fetch.model_check import ModelChecker
from nudge_sync.feedback.fetch.page_rows import build_page_source
from nudge_sync.feedback.fetch.report import FetchReport
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.feedback.schema.values import BadRow
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.settings.sources import SourceSettings
from nudge_sync.source import FeedbackSource, Page, open_feedback_source
from nudge_sync.source.shapes import expect_shape
from nudge_sync.store.embedding_space import read_space
from nudge_sync.store.feedback.source_cursor import CursorStore
from nudge_sync.store.target import Target

_SAMPLE_ROWS = 10
"""Rows that a dry run shows."""
_ANSWER = "an answer of the source"


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
    *,
    from_beginning: bool = False,
) -> FetchReport:
    """Store what the source has since the last time, and return what came of it.

    from_beginning: reads the source from its beginning instead, for feedback that was restored from
    a backup; what is stored already stays as it is.
    The cursor is stored after the rows of its page: after a crash in between they are read and
    stored again, which changes nothing. Raises SourceError, ConfigError, and ModelMismatch before
    the first row of a page whose searches are of another model.
    """
    cursors = CursorStore(target, source_settings)
    with _open_source(source_settings) as source:
        fetch = _Fetch(target, settings, source_settings, source)
        for page in _read_pages(source, "" if from_beginning else cursors.read()):
            fetch.store_page(page)
            if fetch.report.stopped:
                # The rest of the page comes again, and what was stored is not embedded twice.
                break
            cursors.write(page.cursor)
            rows = fetch.report.counts["rows"]
            progress("fetch", rows, rows)
        return fetch.report


def sample_feedback(
    target: Target,
    settings: FeedbackSettings,
    source_settings: SourceSettings,
    *,
    from_beginning: bool = False,
) -> FetchSample:
    """Return what would be stored of the first page with rows; nothing is. Raises as a fetch.

    from_beginning: as for `fetch_feedback`.
    """
    cursor = "" if from_beginning else CursorStore(target, source_settings).read()
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
        page = _read_next(pages)
    except InputError:
        pages = source.read_pages("")
        page = _read_next(pages)
    while page is not None:
        yield page
        page = _read_next(pages)


def _read_next(pages: Iterator[Page]) -> Page | None:
    with expect_shape(_ANSWER):
        return next(pages, None)


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
    stored: StoredVectors = field(init=False)
    checker: ModelChecker | None = field(init=False)

    def __post_init__(self) -> None:
        with expect_shape(_ANSWER):
            facts = self.source.describe()
        self.report = FetchReport(self.source_settings.name, facts)
        target, embed = self.target, self.source_settings.embed or self.settings.embed
        searches = open_feedback(target, self.settings).queries
        space = read_space(target).number
        self.destination = Destination(
            target.queries, target.events, target.collection, searches, space=space
        )
        self.embedder = open_embedder(embed) if embed else None
        self.stored = StoredVectors.for_embedder(
            target.queries, self.embedder, space, target.facts.dimension
        )
        self.checker = (
            ModelChecker(target.collection, self.source_settings.name)
            if self.source_settings.check_model
            else None
        )

    def store_page(self, page: Page) -> list[SourceRow]:
        """Store the good rows of a page, and return all of them as they would be stored."""
        first_line = self.report.counts["rows"] + 1
        source = build_page_source(self.source_settings.name, page.rows, first_line)
        rows = list(embed_source(source, self.embedder, self.stored).read_rows())
        if self.embedder is not None and self.embedder.is_spent:
            self.report.stopped = self.embedder.describe_limit()
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
