"""Small collections on which nudging helps, on any engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from applications import Application, application

from nudge_sync.config import CollectionSettings, GateSettings, SolverSettings, WriteSettings
from nudge_sync.connector import Database, Float32, Metric, PointId
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.store.target import Target, open_target

POINTS, DIMENSION, QUERIES = 400, 32, 900
JUDGED = 40
QUICK = ("memory", "qdrant-edge")
EVERY = (*QUICK, "qdrant-local", "qdrant", "milvus-lite", "milvus")

SETTINGS = CollectionSettings(
    solver=SolverSettings(method="nudge-n"),
    gate=GateSettings(min_queries=20),
    write=WriteSettings(batch_size=16),
)


def unit(rows: Float32) -> Float32:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class Numbers:
    """Documents, and queries that sit at a fixed offset from the ones that answer them."""

    vectors: Float32
    queries: Float32
    answers: list[int]


def numbers(seed: int = 0, judged: int = JUDGED) -> Numbers:
    """Unit vectors: each of the first `judged` documents answers many queries around a spot
    away from it, so that turning it towards them helps queries nobody has seen.
    """
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(POINTS, DIMENSION)))
    spots = unit(vectors[:judged] + 1.2 * unit(rng.normal(size=(judged, DIMENSION))))
    answers = [int(row) for row in rng.integers(0, judged, QUERIES)]
    queries = unit(spots[answers] + 0.5 * unit(rng.normal(size=(QUERIES, DIMENSION))))
    return Numbers(vectors, queries, answers)


@dataclass
class World:
    """An open database with the collection "docs", and the numbers in it."""

    engine: str
    database: Database
    numbers: Numbers
    reopen: Callable[[], Database]
    application: Application

    def target(self) -> Target:
        return open_target(self.database, "docs")

    def teach(self, rows: Sequence[int] | None = None, client: str = "") -> None:
        """Note that `rows` of the queries (all by default) were answered."""
        target = self.target()
        chosen = range(QUERIES) if rows is None else rows
        target.queries.put(
            [to_search_record(Search(f"q{row}", self.numbers.queries[row])) for row in chosen]
        )
        target.events.put(
            [
                to_event_record(
                    Event(f"q{row}", "relevant", self.numbers.answers[row], client_id=client)
                )
                for row in chosen
            ]
        )

    def upsert(self, ids: Sequence[int], vectors: Float32) -> None:
        """What an application does when it embeds documents again."""
        self.application.upsert(self.database, ids, vectors)

    def delete(self, ids: Sequence[int]) -> None:
        """What an application does when documents are gone."""
        self.application.delete(self.database, ids)

    def live(self, ids: Sequence[PointId] = range(POINTS)) -> Float32:
        """The vectors now, by row of `ids`."""
        return self.database.collection("docs").read(list(ids)).vectors


@contextmanager
def opened(
    engine: str, folder: Path, metric: Metric = "cosine", seed: int = 0, server: str = ""
) -> Iterator[World]:
    """A world on one engine, closed at the end."""
    made = numbers(seed)
    app = application(engine, folder, server)
    database = app.connect()
    try:
        app.fill(database, made.vectors, metric)
        yield World(engine, database, made, app.connect, app)
    finally:
        database.close()
