"""Searches and events, and the records that store them.

The documents use the field names of OpenSearch's User Behavior Insights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.connector import PointId, Record
from nudge_sync.errors import InputError
from nudge_sync.feedback.schema.exposure import Exposure, parse_exposure, to_exposure_fields

VECTOR_DIGEST_FIELD = "vector_digest"
"""Field of a search's document by which equal vectors are found without reading them."""
SPACE_FIELD = "space"
"""Field of a search's document: the number of the embedding space that its vector was embedded for
again. Without it the search is of the space of its time."""
EMBEDDED_BY_FIELD = "embedded_by"
"""Field of a search's document: what made its vector of its text. Without it the search came with
its vector."""
MAX_DOCUMENT_BYTES = 60_000
"""Most bytes of JSON in a document: a field in Milvus holds 64 KiB."""


@dataclass(frozen=True, slots=True)
class Search:
    """One search: its query, and the results that were shown."""

    query_id: str
    vector: Float32
    """(d,), of any length: not rescaled."""
    text: str = ""
    timestamp: float = 0.0
    """Seconds since 1970; 0 if undated: such a search never decays."""
    shown: tuple[PointId, ...] = ()
    """The ids of the results shown, best first; empty if they were not logged."""
    propensities: tuple[float, ...] = ()
    """For each shown id the probability, in (0, 1], that it was examined; empty if not logged."""
    session_id: str = ""
    client_id: str = ""
    exposure: Exposure | None = None
    """What an experiment showed in place of the collection's own answer; None outside of one."""


@dataclass(frozen=True, slots=True)
class Event:
    """One action of a user on one point of one search, or a label."""

    query_id: str
    action_name: str
    object_id: PointId
    position: int | None = None
    """Rank, from 1 at the top; None if it is to be looked up in `shown`."""
    grade: float | None = None
    timestamp: float = 0.0
    session_id: str = ""
    client_id: str = ""


def to_feedback_record(item: Search | Event) -> Record:
    """Return the record that stores a search or an event."""
    return to_search_record(item) if isinstance(item, Search) else to_event_record(item)


def to_search_record(search: Search) -> Record:
    """Return the record of a search; its key is the query id."""
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
    if search.exposure is not None:
        document |= to_exposure_fields(search.exposure)
    return Record(search.query_id, document, search.vector)


def compute_vector_digest(vector: Float32) -> str:
    """Return a BLAKE2b digest, as hex, of the bits of a vector."""
    return hashlib.blake2b(vector.tobytes(), digest_size=16).hexdigest()


def to_event_record(event: Event) -> Record:
    """Return the record of an event.

    Its key is a digest of the whole document, so that an event stored twice is kept once.
    """
    document = to_event_document(event)
    text = json.dumps(document, sort_keys=True, ensure_ascii=True)
    return Record(hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), document)


def to_event_document(event: Event) -> dict[str, Any]:
    """Return the document of an event's record."""
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
    """Return the search in `record`; its vector is empty if the record was read without one.

    An exposure that is not what this version stores counts as none: what was searched and shown
    is true all the same.
    """
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
        exposure=_read_exposure(document),
    )


def _read_exposure(document: Mapping[str, Any]) -> Exposure | None:
    try:
        return parse_exposure(document, len(document.get("shown", ())))
    except InputError:
        return None
