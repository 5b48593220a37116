"""Small collections on which nudging helps, on any engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nudge_sync.config import CollectionSettings, GateSettings, SolverSettings, WriteSettings
from nudge_sync.connector import Database, Float32, Metric, PointId
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.store.target import Target, open_target
from tests.support.applications import Application, create_application
from tests.support.unit_vectors import normalise_rows

POINTS, DIMENSION, QUERIES = 400, 32, 900
JUDGED_POINTS = 40
QUICK_ENGINES = ("memory", "qdrant-edge")
ALL_ENGINES = (*QUICK_ENGINES, "qdrant-local", "qdrant", "milvus-lite", "milvus")

SETTINGS = CollectionSettings(
    solver=SolverSettings(method="nudge-n"),
    gate=GateSettings(min_queries=20),
    write=WriteSettings(batch_size=16),
)


@dataclass(frozen=True)
class SyntheticData:
    """Documents, and queries that sit at a fixed offset from the ones that answer them."""

    vectors: Float32
    queries: Float32
    answers: list[int]


def make_synthetic_data(seed: int = 0, judged: int = JUDGED_POINTS) -> SyntheticData:
    """Return unit vectors and queries: each of the first `judged` documents answers many queries
    around a spot away from it, so that turning it towards them helps queries nobody has seen.
    """
    rng = np.random.default_rng(seed)
    vectors = normalise_rows(rng.normal(size=(POINTS, DIMENSION)))
    query_centres = normalise_rows(
        vectors[:judged] + 1.2 * normalise_rows(rng.normal(size=(judged, DIMENSION)))
    )
    answers = [int(row) for row in rng.integers(0, judged, QUERIES)]
    queries = normalise_rows(
        query_centres[answers] + 0.5 * normalise_rows(rng.normal(size=(QUERIES, DIMENSION)))
    )
    return SyntheticData(vectors, queries, answers)


@dataclass
class SampleCollection:
    """An open database with the collection "docs", and the numbers in it."""

    engine: str
    database: Database
    data: SyntheticData
    reopen: Callable[[], Database]
    application: Application

    def target(self) -> Target:
        return open_target(self.database, "docs")

    def add_judgements(self, rows: Sequence[int] | None = None, client: str = "") -> None:
        """Store a label on the answer of each query in `rows`, of all queries by default."""
        target = self.target()
        query_rows = range(QUERIES) if rows is None else rows
        target.queries.put(
            [to_search_record(Search(f"q{row}", self.data.queries[row])) for row in query_rows]
        )
        target.events.put(
            [
                to_event_record(
                    Event(f"q{row}", "relevant", self.data.answers[row], client_id=client)
                )
                for row in query_rows
            ]
        )

    def upsert(self, ids: Sequence[int], vectors: Float32) -> None:
        """Write vectors as an application does when it embeds documents again."""
        self.application.upsert(self.database, ids, vectors)

    def delete(self, ids: Sequence[int]) -> None:
        """Delete points as an application does when documents are gone."""
        self.application.delete(self.database, ids)

    def read_vectors(self, ids: Sequence[PointId] = range(POINTS)) -> Float32:
        """Return the live vectors, row by row of `ids`."""
        return self.database.collection("docs").read(list(ids)).vectors


@contextmanager
def open_sample_collection(
    engine: str, folder: Path, metric: Metric = "cosine", seed: int = 0, server: Any = ""
) -> Iterator[SampleCollection]:
    """Open a sample collection on one engine; the database is closed at the end."""
    data = make_synthetic_data(seed)
    app = create_application(engine, folder, server)
    database = app.connect()
    try:
        app.fill(database, data.vectors, metric)
        yield SampleCollection(engine, database, data, app.connect, app)
    finally:
        database.close()
