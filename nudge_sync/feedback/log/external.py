"""All searches and events of a collection: the sidecar's own and the application's log."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from nudge_sync.connector import DocumentReader, Records, Where
from nudge_sync.errors import ConfigError
from nudge_sync.feedback.log.columnar.table import LogTable
from nudge_sync.feedback.log.external_log import ExternalEvents, ExternalSearches, is_document_match
from nudge_sync.feedback.log.joined_records import JoinedRecords
from nudge_sync.feedback.schema.point_ids import PointIdResolver
from nudge_sync.settings.feedback import EventLog, FeedbackSettings, SearchLog
from nudge_sync.store.target import Target


@dataclass(frozen=True, slots=True)
class FeedbackRecords:
    """All searches and events of a collection: the sidecar's own and the application's log."""

    queries: Records
    events: Records

    def find_query_ids(self, where: Where) -> set[str]:
        """Return the query ids of all searches that match, in the sidecar's records or the log."""
        queries = self.queries
        # Each is scanned on its own: of a search in both, only the log may name the client.
        parts = (queries.own, queries.log) if isinstance(queries, JoinedRecords) else (queries,)
        scans = (part.scan(where, vectors=False) for part in parts)
        return {record.key for scan in scans for batch in scan for record in batch}

    def count_external(self, where: Where, query_ids: Collection[str] = ()) -> dict[str, int]:
        """Return how many records of the application's log match or belong to one of `query_ids`.

        Keyed by the name of the log, without zeros. Only the application can erase them.
        """
        logs = [item.log for item in (self.queries, self.events) if isinstance(item, JoinedRecords)]
        counts: dict[str, int] = {}
        for log in logs:
            batches = log.find_related(where, query_ids, vectors=False)
            documents = (item.document for batch in batches for item in batch)
            count = sum(
                is_document_match(item, where) or item.get("query_id") in query_ids
                for item in documents
            )
            counts[log.place] = counts.get(log.place, 0) + count
        return {name: count for name, count in counts.items() if count}


def open_feedback(target: Target, settings: FeedbackSettings) -> FeedbackRecords:
    """Return the feedback of a collection, from where the settings say it is.

    Raises ConfigError where the connector cannot read an application's log. A log that does not
    exist, or lacks a mapped field, raises ConfigError when it is read.
    """
    if settings.searches is None and settings.events is None:
        return FeedbackRecords(target.queries, target.events)
    resolver = PointIdResolver(target.collection)
    queries, events = target.queries, target.events
    if settings.searches is not None:
        external_searches = ExternalSearches(
            _open_reader(target, settings.searches, "searches"),
            settings.searches,
            resolver,
            target.facts.dimension,
        )
        queries = JoinedRecords(queries, external_searches)
    if settings.events is not None:
        reader = _open_reader(target, settings.events, "events")
        events = JoinedRecords(events, ExternalEvents(reader, settings.events, resolver))
    return FeedbackRecords(queries, events)


def _open_reader(
    target: Target, fields: SearchLog | EventLog, section: str
) -> DocumentReader | LogTable:
    if fields.is_table:
        return LogTable(fields, section)
    if not isinstance(target.database, DocumentReader):
        raise ConfigError("this connector reads no logs: take out [feedback.searches] and .events")
    return target.database
