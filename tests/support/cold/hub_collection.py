"""A collection on which NUDGE-N gains on documents with feedback and pushes out all others.

Documents come in topics. All queries lie off the documents in one common direction, as questions
do from the paragraphs that answer them. A document that is turned towards its own queries turns in
that direction too, comes nearer to every query of its topic, and ranks before the others there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.store.target import Target, open_target
from tests.support.applications import create_application
from tests.support.sample_collection import SyntheticData
from tests.support.unit_vectors import normalise_rows

HUB_POINTS = 120
_TOPICS, _DIMENSION, _QUERIES = 12, 32, 600


def make_hub_data(seed: int = 0, offset: float = 0.9) -> SyntheticData:
    """Return unit vectors and queries; each document answers about five of the queries."""
    rng = np.random.default_rng(seed)
    topics = normalise_rows(rng.normal(size=(_TOPICS, _DIMENSION)))
    details = 0.7 * normalise_rows(rng.normal(size=(HUB_POINTS, _DIMENSION)))
    vectors = normalise_rows(topics[np.arange(HUB_POINTS) % _TOPICS] + details)
    common = normalise_rows(rng.normal(size=(1, _DIMENSION)))
    answers = [row % HUB_POINTS for row in range(_QUERIES)]
    noise = 0.35 * normalise_rows(rng.normal(size=(_QUERIES, _DIMENSION)))
    queries = normalise_rows(vectors[answers] + offset * common + noise)
    return SyntheticData(vectors, queries, answers)


@contextmanager
def open_hub_collection(engine: str, folder: Path, answered: int = HUB_POINTS) -> Iterator[Target]:
    """Open such a collection on one engine, with a label on the answer of every query.

    answered: only queries that the first so many documents answer are there.
    """
    data = make_hub_data()
    application = create_application(engine, folder, "")
    database = application.connect()
    try:
        application.fill(database, data.vectors, "cosine")
        target = open_target(database, "docs")
        target.queries.put(
            [to_search_record(Search(f"q{row}", query)) for row, query in enumerate(data.queries)]
        )
        target.events.put(
            [
                to_event_record(Event(f"q{row}", "relevant", answer))
                for row, answer in enumerate(data.answers)
                if answer < answered
            ]
        )
        yield target
    finally:
        database.close()
