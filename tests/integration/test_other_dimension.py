"""A collection of another dimension under the same name: what was stored before stays readable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.base.progress import ignore_progress
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.console.work.trial import try_search
from nudge_sync.errors import InputError
from nudge_sync.feedback.erase import FeedbackSelector, erase_feedback, export_rows
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.upkeep.restore_drill import run_drill
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.memory import MemoryDatabase
from nudge_sync.writing.rollback import roll_back
from tests.support.operations.clearing import collect
from tests.support.ram_disk import ram_folder
from tests.support.sample_collection import (
    DIMENSION,
    POINTS,
    QUERIES,
    SETTINGS,
    SampleCollection,
    open_sample_collection,
)
from tests.support.tracked_collection import DIMENSION as TRACKED_DIMENSION
from tests.support.tracked_collection import POINTS as TRACKED_POINTS
from tests.support.tracked_collection import SETTINGS as TRACKED_SETTINGS
from tests.support.tracked_collection import TrackedCollection
from tests.support.unit_vectors import make_unit_rows

WIDER = 48
EASY_GATE = SETTINGS.model_copy(
    update={"gate": SETTINGS.gate.model_copy(update={"max_cold_loss": 1.0})}
)
"""Where a plan is made for another reason than to see it refused."""
FUNNEL_REASON = "no search is stored, or its vector does not fit"


@pytest.fixture(params=["memory", "qdrant-edge", "milvus-lite", "qdrant-local"])
def tracked(request: pytest.FixtureRequest) -> Iterator[TrackedCollection]:
    """Open a collection of ten points on each engine that needs no server."""
    with ram_folder() as path:
        tracked = TrackedCollection(request.param, Path(path), "")
        yield tracked
        tracked.database.close()


@pytest.fixture(params=[2, 8], ids=["fewer", "more"])
def other_dimension(request: pytest.FixtureRequest) -> int:
    """What the vectors of the collection that is made anew have."""
    assert request.param != TRACKED_DIMENSION
    return int(request.param)


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[SampleCollection]:
    """Open a sample collection in memory."""
    with open_sample_collection("memory", tmp_path) as sample:
        yield sample


def add_search(target: Target, query_id: str, point: int) -> bytes:
    """Store a search with a label on a point, and return its vector's bits."""
    vector = make_unit_rows(1, target.facts.dimension, point)[0]
    search = Search(query_id, vector, timestamp=1.7e9, client_id="anna")
    target.queries.put([to_search_record(search)])
    target.events.put([to_event_record(Event(query_id, "relevant", point, client_id="anna"))])
    return vector.tobytes()


def read_search_vectors(target: Target) -> dict[str, bytes | None]:
    return {
        record.key: None if record.vector is None else record.vector.tobytes()
        for batch in target.queries.scan()
        for record in batch
    }


def test_searches_of_both_dimensions_are_kept_and_those_that_fit_count(
    tracked: TrackedCollection, other_dimension: int
):
    old = add_search(tracked.target(), "old", 3)
    tracked.recreate(other_dimension)
    target = tracked.target()
    assert read_search_vectors(target) == {"old": old}
    new = add_search(target, "new", 4)
    assert read_search_vectors(target) == {"old": old, "new": new}
    judgements = read_judgements(
        target.queries, target.events, TRACKED_SETTINGS.feedback, other_dimension
    )
    assert judgements.query_ids == ["new"]
    (stage,) = [stage for stage in judgements.funnel if stage.reason == FUNNEL_REASON]
    assert (stage.kept, stage.removed) == (1, 1)
    cycle.plan(target, TRACKED_SETTINGS)
    client = FeedbackSelector(client="anna")
    rows = [row for row in export_rows(target.queries, target.events, client) if "shown" in row]
    sizes = {row["query_id"]: len(row["query_vector"]) for row in rows}
    assert sizes == {"old": TRACKED_DIMENSION, "new": other_dimension}
    counts = erase_feedback(target, client)
    assert (counts.searches, counts.events) == (2, 2)
    assert target.queries.count() == target.events.count() == 0


def test_a_search_that_does_not_fit_is_not_tried(sample: SampleCollection):
    log_searches(sample.target(), sample)
    sample.application.recreate(sample.database, make_unit_rows(POINTS, WIDER, 0), "cosine")
    with pytest.raises(InputError, match="'q3' has a vector of 32 numbers"):
        try_search(sample.target(), SETTINGS, "q3", None, ignore_progress)


def test_originals_of_the_former_collection_move_nothing(
    tracked: TrackedCollection, other_dimension: int
):
    tracked.apply_plan(tracked.target(), seed=1)
    tracked.recreate(other_dimension)
    live_vectors = tracked.read_vectors()
    assert verify(tracked.target()).drifted == TRACKED_POINTS
    for overwrite_drifted in (False, True):
        report = roll_back(
            tracked.target(), TRACKED_SETTINGS, originals=True, overwrite_drifted=overwrite_drifted
        )
        assert (report.restored, len(report.drifted)) == (0, TRACKED_POINTS)
        assert tracked.read_vectors().tobytes() == live_vectors.tobytes()
    drill = run_drill(tracked.target(), sample_size=0)
    assert drill.is_restorable
    assert drill.identical == 2 * TRACKED_POINTS


def test_a_collection_made_anew_is_nudged_and_rolled_back(
    tracked: TrackedCollection, other_dimension: int
):
    tracked.apply_plan(tracked.target(), seed=1)
    tracked.recreate(other_dimension)
    live_vectors = tracked.read_vectors()
    rescales = tracked.target().facts.rescales
    # So that some points have an original of the former collection alone.
    tracked.apply_plan(tracked.target(), seed=2, points=TRACKED_POINTS // 2)
    assert not is_same_vector(tracked.read_vectors(), live_vectors, rescales=rescales).all()
    cycle.plan(tracked.target(), TRACKED_SETTINGS)
    drill = run_drill(tracked.target(), sample_size=0)
    assert drill.is_restorable
    assert drill.identical == 3 * TRACKED_POINTS
    collect(tracked.target(), TRACKED_SETTINGS.write)
    roll_back(tracked.target(), TRACKED_SETTINGS, originals=True)
    assert is_same_vector(tracked.read_vectors(), live_vectors, rescales=rescales).all()
    assert verify(tracked.target()).is_clean


class LargerModel:
    """A model with more numbers a vector, in which the same texts are as near to each other."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.columns = np.linalg.qr(rng.normal(size=(WIDER, DIMENSION)))[0].T

    def embed(self, vectors: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(vectors @ self.columns, np.float32)


def log_searches(target: Target, sample: SampleCollection) -> None:
    """Store the sample's queries as an application logs them, with a label on each answer."""
    searches = [
        Search(f"q{row}", each, shown=(1, 2)) for row, each in enumerate(sample.data.queries)
    ]
    target.queries.put([to_search_record(search) for search in searches])
    labels = [Event(f"q{row}", "relevant", each) for row, each in enumerate(sample.data.answers)]
    target.events.put([to_event_record(label) for label in labels])


def embed_queries_again(target: Target, vectors: np.ndarray, *, is_incidental: bool) -> None:
    """Import the queries as `feedback import --only-searches --embed` does."""

    def read_rows() -> Iterator[SourceRow]:
        for row, vector in enumerate(vectors):
            content = {"type": "search", "query_id": f"q{row}", "query_vector": vector}
            yield SourceRow("log", row + 1, "", content, is_incidental, "model:embed")

    destination = Destination(target.queries, target.events, target.collection)
    import_rows([Source(read_rows, lambda: len(vectors))], destination)


@pytest.mark.parametrize("is_incidental", [False, True], ids=["logged", "listed"])
def test_after_a_switch_of_the_alias_the_next_cycle_starts_on_the_new_collection(
    sample: SampleCollection, is_incidental: bool
):
    assert isinstance(sample.database, MemoryDatabase)
    store, model = sample.database.store, LargerModel()
    store.aliases["live"] = "docs"
    former = open_target(sample.database, "live")
    log_searches(former, sample)
    assert cycle.apply(former, SETTINGS).outcome == "applied"
    nudged = sample.read_vectors()
    store.create("docs_v2", WIDER)
    store.upsert("docs_v2", list(range(POINTS)), model.embed(sample.data.vectors))
    store.aliases["live"] = "docs_v2"
    target = open_target(sample.database, "live")
    assert target.facts.dimension == WIDER
    plan = cycle.plan(target, SETTINGS)
    assert len(plan.rows) == 0
    assert target.queries.count() == QUERIES
    embed_queries_again(target, model.embed(sample.data.queries), is_incidental=is_incidental)
    stored_sizes = {
        0 if record.vector is None else len(record.vector)
        for batch in target.queries.scan()
        for record in batch
    }
    assert stored_sizes == {WIDER}
    report = cycle.apply(open_target(sample.database, "live"), EASY_GATE)
    assert report.outcome == "applied"
    assert report.written > 0
    assert sample.read_vectors().tobytes() == nudged.tobytes()
    assert roll_back(former, SETTINGS, originals=True).restored > 0
    assert sample.read_vectors().tobytes() == sample.data.vectors.tobytes()
