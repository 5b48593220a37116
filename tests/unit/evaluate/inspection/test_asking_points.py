"""The points that asked for a point are those whose answers the solver counts it among."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.base.progress import ignore_progress
from nudge_sync.config import CollectionSettings, GateSettings, SolverSettings
from nudge_sync.evaluate.inspection.explain_point import explain_point, explanation_to_dict
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.planning.held_out import HELD_OUT_SHARE, hash_queries
from nudge_sync.solve.geometry import unit
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.memory import MemoryDatabase

TOPICS, SIZE, QUERIES, DIMENSION = 30, 5, 8, 48


def make_topical_collection() -> tuple[Target, np.ndarray]:
    """Five points of each topic answer all its queries, each of which lies near one of them."""
    random = np.random.default_rng(0)
    vectors = unit(random.normal(size=(TOPICS * SIZE, DIMENSION)))
    topic = np.repeat(np.arange(TOPICS), QUERIES)
    near = vectors[topic * SIZE + random.integers(0, SIZE, len(topic))]
    asked = unit(near + 0.6 * unit(random.normal(size=near.shape))).astype(np.float32)
    database = MemoryDatabase()
    database.store.create("docs", DIMENSION, "cosine")
    database.store.upsert("docs", list(range(len(vectors))), vectors.astype(np.float32))
    target = open_target(database, "docs")
    target.queries.put([to_search_record(Search(f"q{row}", one)) for row, one in enumerate(asked)])
    events = [
        Event(f"q{row}", "relevant", int(topic[row] * SIZE + member))
        for row in range(len(topic))
        for member in range(SIZE)
    ]
    target.events.put([to_event_record(event) for event in events])
    return target, asked


def apply(target: Target, method: str) -> None:
    settings = CollectionSettings(
        solver=SolverSettings(method=method, threads=1), gate=GateSettings(min_queries=20)
    )
    assert cycle.apply(target, settings).outcome == "applied"


def explain(target: Target, point: int):
    judgements = load_judgements(target, CollectionSettings(), ignore_progress)
    found = explain_point(
        target, judgements, target.queries, point, depth=10, progress=ignore_progress
    )
    return explanation_to_dict(target, found)["asked_by"]


def test_the_other_answers_of_its_queries_asked_for_it():
    target, asked = make_topical_collection()
    assert explain(target, 7) == []
    apply(target, "nudge-c")
    [revision] = target.open_ledger().entries()
    assert revision.details.plan["parameters"]["co_relevance"] == 1
    assert (hash_queries(asked) < HELD_OUT_SHARE).any()
    found = explain(target, 7)
    assert {one["point"] for one in found} == {5, 6, 8, 9}
    # All of them answer the same queries.
    assert [one["share"] for one in found] == pytest.approx([0.25] * 4)


def test_nobody_asked_where_the_live_revision_was_made_without():
    target, _ = make_topical_collection()
    apply(target, "nudge-n")
    assert explain(target, 7) == []
