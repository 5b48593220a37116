"""How searches and events are kept in the sidecar's own records, in the words of OpenSearch's
User Behavior Insights.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from nudge_sync.connector import Float32, PointId, Record

VECTOR_DIGEST_FIELD = "vector_digest"
"""Field of a search's document that tells equal vectors without their being read."""
MAX_DOCUMENT_BYTES = 60_000
"""Milvus keeps 64 KiB in a field."""


@dataclass(frozen=True, slots=True)
class Search:
    """One search: what was asked, and what was shown for it."""

    query_id: str
    vector: Float32
    """(d,), as given: not rescaled."""
    text: str = ""
    timestamp: float = 0.0
    """Seconds since 1970; 0 means undated, and never decays."""
    shown: tuple[PointId, ...] = ()
    """The ids shown, best first; empty where it was not logged."""
    propensities: tuple[float, ...] = ()
    """How likely each shown id was to be examined, 1 at the top of a list; empty if not known."""
    session_id: str = ""
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """What somebody did about one point of one search."""

    query_id: str
    action_name: str
    object_id: PointId
    position: int | None = None
    """1 is the top; None: where `shown` has it."""
    grade: float | None = None
    timestamp: float = 0.0
    session_id: str = ""
    client_id: str = ""


def to_search_record(search: Search) -> Record:
    """The record of a search: its key is the query id."""
    document: dict[str, Any] = {
        "query_id": search.query_id,
        "text": search.text,
        "timestamp": search.timestamp,
        "shown": list(search.shown),
        "session_id": search.session_id,
        "client_id": search.client_id,
        VECTOR_DIGEST_FIELD: compute_vector_digest(search.vector),
    }
    if search.propensities:
        document["propensities"] = list(search.propensities)
    return Record(search.query_id, document, search.vector)


def compute_vector_digest(vector: Float32) -> str:
    """The same for the same vector, bit for bit, and for no other."""
    return hashlib.blake2b(vector.tobytes(), digest_size=16).hexdigest()


def to_event_record(event: Event) -> Record:
    """The record of an event: its key is a digest of all it says, so that storing it twice
    stores it once.
    """
    document = to_event_document(event)
    text = json.dumps(document, sort_keys=True, ensure_ascii=True)
    return Record(hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), document)


def to_event_document(event: Event) -> dict[str, Any]:
    """The document of an event's record."""
    return {
        "query_id": event.query_id,
        "action_name": event.action_name,
        "object_id": event.object_id,
        "position": event.position,
        "grade": event.grade,
        "timestamp": event.timestamp,
        "session_id": event.session_id,
        "client_id": event.client_id,
    }


def parse_search_record(record: Record) -> Search:
    """The search that a record holds; an empty vector where none was read."""
    document = record.document
    vector = np.zeros(0, np.float32) if record.vector is None else record.vector
    return Search(
        query_id=record.key,
        vector=vector,
        text=document.get("text", ""),
        timestamp=document.get("timestamp", 0.0),
        shown=tuple(document.get("shown", ())),
        propensities=tuple(document.get("propensities", ())),
        session_id=document.get("session_id", ""),
        client_id=document.get("client_id", ""),
    )
