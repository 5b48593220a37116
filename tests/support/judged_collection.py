"""A collection in memory with labels or clicks, among which some results are doubtful."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nudge_sync.base.progress import ignore_progress
from nudge_sync.config import CollectionSettings, GateSettings, SolverSettings
from nudge_sync.connector import Float32, Metric
from nudge_sync.feedback.judgements import Judgements, load_judgements
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.planning.dataset import (
    PlanDataset,
    build_dataset,
    read_points_in_play,
    select_dataset_rows,
)
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.memory import MemoryDatabase
from tests.support.sample_collection import SyntheticData, make_synthetic_data

SETTINGS = CollectionSettings(
    solver=SolverSettings(method="nudge-n", threads=1), gate=GateSettings(min_queries=20)
)
_QUERIES = 300
_SHOWN = 10


@dataclass(frozen=True)
class JudgedCollection:
    """The target, the numbers in it, and its judgements."""

    target: Target
    data: SyntheticData
    judgements: Judgements


def make_labelled_collection(metric: Metric = "cosine") -> JudgedCollection:
    """Each query has its answer labelled with grade 1 or 2, and a point that does not answer it."""
    target, data = _make_target(metric)
    events = [
        event
        for row in range(_QUERIES)
        for event in (
            Event(f"q{row}", "relevant", data.answers[row], grade=1.0 + row % 2),
            Event(f"q{row}", "not_relevant", 100 + row % 50),
        )
    ]
    target.queries.put(
        [to_search_record(Search(f"q{row}", data.queries[row])) for row in range(_QUERIES)]
    )
    return _store_events(target, data, events)


def make_clicked_collection(metric: Metric = "cosine") -> JudgedCollection:
    """Several people ask each question; they often click its answer, and sometimes others."""
    rng = np.random.default_rng(5)
    target, data = _make_target(metric)
    searches: list[Search] = []
    events: list[Event] = []
    for row in range(_QUERIES):
        ranking = [int(point) for point in np.argsort(-(data.vectors @ data.queries[row]))]
        shown = [point for point in ranking if point != data.answers[row]][: _SHOWN - 1]
        shown.insert(int(rng.integers(0, _SHOWN)), data.answers[row])
        for person in range(4):
            name, client = f"q{row}-{person}", f"c{(row * 7 + person * 13) % 400}"
            searches.append(Search(name, data.queries[row], shown=tuple(shown), client_id=client))
            chances = np.where(np.array(shown) == data.answers[row], 0.4, 0.1)
            clicks = [shown[rank] for rank in np.flatnonzero(rng.random(_SHOWN) < chances)]
            events += [Event(name, "click", point, client_id=client) for point in clicks]
    target.queries.put([to_search_record(search) for search in searches])
    return _store_events(target, data, events)


def _make_target(metric: Metric) -> tuple[Target, SyntheticData]:
    data = make_synthetic_data()
    database = MemoryDatabase()
    vectors: Float32 = data.vectors
    database.store.create("docs", vectors.shape[1], metric)
    database.store.upsert("docs", list(range(len(vectors))), vectors)
    return open_target(database, "docs"), data


def _store_events(target: Target, data: SyntheticData, events: list[Event]) -> JudgedCollection:
    target.events.put([to_event_record(event) for event in events])
    return JudgedCollection(target, data, load_judgements(target, SETTINGS))


def build_plan_dataset(judged: JudgedCollection, min_queries: int = 100) -> PlanDataset:
    """Return what a plan of the collection is made from."""
    points = read_points_in_play(judged.target, judged.judgements, ignore_progress)
    rows = select_dataset_rows(judged.target, judged.judgements, points)
    return build_dataset(
        judged.target,
        judged.judgements,
        points,
        rows=rows,
        min_queries=min_queries,
        exact=False,
        progress=ignore_progress,
    )
