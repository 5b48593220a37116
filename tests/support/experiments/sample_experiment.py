"""A canary for tests: turned vectors of some points, staged and running."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nudge_sync.connector import Float32, PointId
from nudge_sync.experiment.assign import is_chosen
from nudge_sync.feedback.schema.records import Search, parse_search_record
from nudge_sync.store.experiments.candidate import stage_candidate
from nudge_sync.store.experiments.running import RunningExperiment, start_experiment
from nudge_sync.store.target import Target
from tests.support.sample_collection import SampleCollection
from tests.support.unit_vectors import normalise_rows

K = 10
"""Results that are shown."""
MOVED = list(range(60))
"""Points of a sample collection whose vectors differ between the arms."""


def turn_vectors(vectors: Float32, seed: int = 5, angle: float = 0.6) -> Float32:
    """Return each vector turned in a direction of its own, its length kept as float32 can."""
    rng = np.random.default_rng(seed)
    directions = normalise_rows(rng.normal(size=vectors.shape))
    turned = normalise_rows(np.cos(angle) * vectors + np.sin(angle) * directions)
    return np.ascontiguousarray(turned, np.float32)


def start_canary(
    target: Target, ids: Sequence[PointId], vectors: Float32, **options: Any
) -> RunningExperiment:
    """Stage vectors (n, d) of some points as revision 1, and start a canary with everybody in it.

    options: of `start_experiment`.
    """
    live = target.collection.read(list(ids)).vectors
    rows = stage_candidate(target, 1, list(ids), vectors=vectors, replaced=live, originals=live)
    share = options.pop("share", 1.0)
    return start_experiment(target, "canary", 1, share, rows=rows, **options)


def find_session(running: RunningExperiment, *, chosen: bool) -> str:
    """Return a session that the experiment chooses, or one that it does not."""
    return next(
        unit
        for unit in (f"s{number}" for number in range(100_000))
        if is_chosen(running.key, unit, running.share) == chosen
    )


def start_sample_canary(sample: SampleCollection, **options: Any) -> RunningExperiment:
    """Start a canary of the points in MOVED, with everybody in it unless `share` says less."""
    vectors = turn_vectors(sample.data.vectors[MOVED])
    return start_canary(sample.target(), MOVED, vectors, **options)


def search_live(sample: SampleCollection, query: Float32, limit: int) -> list[Any]:
    """Return what an application that searches the collection itself gets."""
    hits = sample.target().collection.search(query[None], limit, exact=True)
    return list(zip(hits.ids[0], hits.scores[0].tolist(), strict=True))


def search_arm(sample: SampleCollection, query: Float32) -> list[int]:
    """Return the K best of a collection that holds the arm's vectors."""
    return np.argsort(-(arm_vectors(sample) @ query), kind="stable")[:K].tolist()


def arm_vectors(sample: SampleCollection) -> Float32:
    """Return the vectors of the arm, of every point."""
    vectors = sample.data.vectors.copy()
    vectors[MOVED] = turn_vectors(sample.data.vectors[MOVED])
    return vectors


def find_query_that_needs_more(sample: SampleCollection) -> Float32:
    """Return a query whose ten best are not enough for the ten best of the arm."""
    moved = set(MOVED)
    for query in sample.data.queries:
        best = [id_ for id_, _ in search_live(sample, query, K)]
        arm = search_arm(sample, query)
        if len(moved & set(best)) > len(moved & set(arm)):
            return query
    raise AssertionError


def read_searches(sample: SampleCollection) -> dict[str, Search]:
    """Return the logged searches, by query id."""
    records = (record for batch in sample.target().queries.scan() for record in batch)
    return {record.key: parse_search_record(record) for record in records}


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so, half a minute at most."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
