"""A collection whose queries are all turned away from their answers alike, so that a map helps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nudge_sync.connector import Float32, Metric
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.judged_collection import SETTINGS, JudgedCollection
from tests.support.sample_collection import SyntheticData, make_synthetic_data
from tests.support.unit_vectors import normalise_rows

_QUERIES = 400


def turn_queries(vectors: Float32, answers: Sequence[int]) -> Float32:
    """Return a query for each of `answers`, turned away from it by one rotation for all."""
    rng = np.random.default_rng(8)
    rotation, _ = np.linalg.qr(rng.normal(size=(vectors.shape[1], vectors.shape[1])))
    straight = vectors[list(answers)] + 0.05 * rng.normal(size=(len(answers), vectors.shape[1]))
    return normalise_rows(straight + 1.2 * straight @ rotation)


def make_turned_data() -> SyntheticData:
    """Return documents, all of which are asked for, and the queries that ask."""
    vectors = make_synthetic_data().vectors
    answers = [int(row) for row in np.random.default_rng(9).integers(0, len(vectors), _QUERIES)]
    return SyntheticData(vectors, turn_queries(vectors, answers), answers)


def make_turned_collection(
    metric: Metric = "cosine", *, shuffled: bool = False
) -> JudgedCollection:
    """Return such a collection in memory; shuffled: with answers dealt out at random."""
    data = make_turned_data()
    database = MemoryDatabase()
    database.store.create("docs", data.vectors.shape[1], metric)
    database.store.upsert("docs", list(range(len(data.vectors))), data.vectors)
    target = open_target(database, "docs")
    answers = data.answers
    if shuffled:
        answers = [int(row) for row in np.random.default_rng(1).permutation(answers)]
    target.queries.put(
        [to_search_record(Search(f"q{row}", query)) for row, query in enumerate(data.queries)]
    )
    target.events.put(
        [
            to_event_record(Event(f"q{row}", "relevant", answer, grade=1.0))
            for row, answer in enumerate(answers)
        ]
    )
    return JudgedCollection(target, data, load_judgements(target, SETTINGS))
