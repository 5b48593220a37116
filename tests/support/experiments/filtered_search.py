"""What searches under a filter need on any engine: a filter, and points that are visible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client import models
from qdrant_edge import Filter, HasIdCondition

from nudge_sync.connector import ServingCollection
from tests.support.experiments.sample_experiment import wait_for
from tests.support.sample_collection import POINTS, SampleCollection


def make_filter(sample: SampleCollection, ids: Sequence[int]) -> Any:
    """Return a filter, in the engine's own form, that admits these points of the collection.

    In memory a filter asks for a payload, which the points get here.
    """
    if sample.engine == "memory":
        payloads = [{"passes": id_ in ids} for id_ in range(POINTS)]
        sample.application.store.upsert("docs", range(POINTS), sample.data.vectors, payloads)
        return {"passes": True}
    if sample.engine == "qdrant-edge":
        return Filter(must=[HasIdCondition(set(ids))])
    if sample.engine.startswith("qdrant"):
        return models.Filter(must=[models.HasIdCondition(has_id=list(ids))])
    return f"id in {list(ids)}"


def wait_until_visible(sample: SampleCollection) -> None:
    """Wait until searches at the database's default consistency see every point."""
    collection = sample.database.collection("docs")
    assert isinstance(collection, ServingCollection)
    wait_for(lambda: len(collection.select_ids(range(POINTS))) == POINTS)
