from nudge_sync.feedback.importing import Destination, RowsRefused, import_rows
from nudge_sync.feedback.judgements import Judgements, Stage, load
from nudge_sync.feedback.records import EVENTS_INDEXED, QUERIES_INDEXED, Event, Search
from nudge_sync.feedback.report import ImportReport
from nudge_sync.feedback.sources import Source, json_lines, labelled, qrels

__all__ = [
    "EVENTS_INDEXED",
    "QUERIES_INDEXED",
    "Destination",
    "Event",
    "ImportReport",
    "Judgements",
    "RowsRefused",
    "Search",
    "Source",
    "Stage",
    "import_rows",
    "json_lines",
    "labelled",
    "load",
    "qrels",
]
