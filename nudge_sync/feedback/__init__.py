from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nudge_sync.feedback.embedding import Embedding, embedded
    from nudge_sync.feedback.formats import opened, with_vectors
    from nudge_sync.feedback.importing import Destination, RowsRefused, import_rows
    from nudge_sync.feedback.judgements import Expected, Judgements, load
    from nudge_sync.feedback.records import EVENTS_INDEXED, QUERIES_INDEXED, Event, Search
    from nudge_sync.feedback.report import ImportReport
    from nudge_sync.feedback.sources import (
        Source,
        beir,
        beir_texts,
        json_lines,
        labelled,
        qrels,
    )

__all__ = [
    "EVENTS_INDEXED",
    "QUERIES_INDEXED",
    "Destination",
    "Embedding",
    "Event",
    "Expected",
    "ImportReport",
    "Judgements",
    "RowsRefused",
    "Search",
    "Source",
    "beir",
    "beir_texts",
    "embedded",
    "import_rows",
    "json_lines",
    "labelled",
    "load",
    "opened",
    "qrels",
    "with_vectors",
]

_HOMES = {
    "embedding": ("Embedding", "embedded"),
    "formats": ("opened", "with_vectors"),
    "importing": ("Destination", "RowsRefused", "import_rows"),
    "judgements": ("Expected", "Judgements", "load"),
    "records": ("EVENTS_INDEXED", "QUERIES_INDEXED", "Event", "Search"),
    "report": ("ImportReport",),
    "sources": ("Source", "beir", "beir_texts", "json_lines", "labelled", "qrels"),
}


def __getattr__(name: str) -> Any:
    # Loaded when asked for: the click model needs SciPy, an application's log does not.
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
