"""A change of the embedding model is noticed, and an ordinary day of the application is not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.base.arrays import Float32
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.errors import ModelChanged
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.store.embedding_space import SPACE_KEY, read_space
from tests.support.ram_disk import ram_folder
from tests.support.sample_collection import (
    DIMENSION,
    POINTS,
    QUERIES,
    SETTINGS,
    SampleCollection,
    open_sample_collection,
)
from tests.support.unit_vectors import normalise_rows

FAILING_GATE = SETTINGS.model_copy(
    update={"gate": SETTINGS.gate.model_copy(update={"min_queries": QUERIES + 1})}
)
UNSUSPECTING = SETTINGS.model_copy(
    update={"gate": SETTINGS.gate.model_copy(update={"max_drifted_share": 1.0})}
)


@pytest.fixture(params=["memory", "qdrant-edge", "milvus-lite", "qdrant-local"])
def sample(request: pytest.FixtureRequest) -> Iterator[SampleCollection]:
    """Open a sample collection with feedback on each engine that needs no server."""
    with ram_folder() as path, open_sample_collection(request.param, Path(path)) as sample:
        sample.add_judgements()
        yield sample


@pytest.fixture
def quick_sample(tmp_path: Path) -> Iterator[SampleCollection]:
    """Open a sample collection with feedback in memory."""
    with open_sample_collection("memory", tmp_path) as sample:
        sample.add_judgements()
        yield sample


class OtherModel:
    """A model of the same dimension that has nothing to do with the first: a rotation of it."""

    def __init__(self, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.rotation = np.linalg.qr(rng.normal(size=(DIMENSION, DIMENSION)))[0]

    def embed(self, vectors: Float32) -> Float32:
        return normalise_rows(vectors @ self.rotation)


def embed_documents_again(sample: SampleCollection, model: OtherModel) -> None:
    sample.upsert(range(POINTS), model.embed(sample.data.vectors))


def embed_queries_again(sample: SampleCollection, model: OtherModel) -> None:
    """Import the log as `feedback import --embed` does: with vectors made just now."""
    vectors = model.embed(sample.data.queries)

    def read_rows() -> Iterator[SourceRow]:
        for row, vector in enumerate(vectors):
            content = {"type": "search", "query_id": f"q{row}", "query_vector": vector}
            yield SourceRow("log", row + 1, "", content, embedded_by="model:embed")

    target = sample.target()
    destination = Destination(
        target.queries, target.events, target.collection, space=read_space(target).number
    )
    import_rows([Source(read_rows, lambda: len(vectors))], destination)


def assert_written_nothing(sample: SampleCollection, vectors: Float32) -> None:
    rescales = sample.target().facts.rescales
    assert is_same_vector(sample.read_vectors(), vectors, rescales=rescales).all()


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("edits", ["other texts", "small edits"])
def test_ordinary_drift_is_no_change_of_model(quick_sample: SampleCollection, share, edits):
    assert cycle.apply(quick_sample.target(), SETTINGS).outcome == "applied"
    rng = np.random.default_rng(3)
    for _ in range(3):
        ids = rng.choice(POINTS, int(share * POINTS), replace=False)
        noise = normalise_rows(rng.normal(size=(len(ids), DIMENSION)))
        kept = 0.0 if edits == "other texts" else 1.0
        vectors = normalise_rows(kept * quick_sample.data.vectors[ids] + noise * 0.5)
        quick_sample.upsert(ids.tolist(), vectors)
        plan = cycle.plan(quick_sample.target(), SETTINGS)
        assert plan.model is not None
        assert not plan.model.refusal
        cycle.apply(quick_sample.target(), SETTINGS)
    assert read_space(quick_sample.target()).number == 1


def test_change_after_a_first_nudge_is_caught_and_nothing_is_written(sample: SampleCollection):
    assert cycle.apply(sample.target(), SETTINGS).outcome == "applied"
    embed_documents_again(sample, OtherModel())
    embedded = sample.read_vectors()
    plan = cycle.plan(sample.target(), SETTINGS)
    assert plan.model is not None
    assert plan.model.has_changed
    assert not plan.gate.passed
    assert len(plan.rows) == 0
    for _ in range(2):
        with pytest.raises(ModelChanged, match="--embed MODULE:FUNCTION"):
            cycle.apply(sample.target(), SETTINGS)
        assert_written_nothing(sample, embedded)
    assert read_space(sample.target()).number == 2


@pytest.mark.parametrize("seed", range(5))
def test_change_before_any_nudge_is_caught(quick_sample: SampleCollection, seed):
    assert cycle.apply(quick_sample.target(), FAILING_GATE).outcome == "refused"
    embed_documents_again(quick_sample, OtherModel(seed))
    with pytest.raises(ModelChanged, match="by another model"):
        cycle.apply(quick_sample.target(), SETTINGS)


@pytest.mark.parametrize("seed", range(5))
def test_change_before_any_cycle_fails_the_gate(quick_sample: SampleCollection, seed):
    embed_documents_again(quick_sample, OtherModel(seed))
    embedded = quick_sample.read_vectors()
    report = cycle.apply(quick_sample.target(), SETTINGS)
    assert report.outcome == "refused"
    assert "which is chance" in report.reason
    assert_written_nothing(quick_sample, embedded)


def test_originals_tell_where_an_older_version_kept_no_fingerprint(quick_sample: SampleCollection):
    cycle.apply(quick_sample.target(), SETTINGS)
    quick_sample.target().ledger_records.delete([SPACE_KEY])
    embed_documents_again(quick_sample, OtherModel())
    with pytest.raises(ModelChanged):
        cycle.apply(quick_sample.target(), SETTINGS)


def test_queries_embedded_again_nudge_the_new_vectors(sample: SampleCollection):
    cycle.apply(sample.target(), SETTINGS)
    model = OtherModel()
    embed_documents_again(sample, model)
    embedded = sample.read_vectors()
    with pytest.raises(ModelChanged):
        cycle.apply(sample.target(), SETTINGS)
    embed_queries_again(sample, model)
    report = cycle.apply(sample.target(), SETTINGS)
    assert report.outcome == "applied"
    assert report.written > 0
    assert not np.array_equal(sample.read_vectors(), embedded)


def test_queries_embedded_again_before_anybody_looked_are_used_at_once(
    quick_sample: SampleCollection,
):
    cycle.apply(quick_sample.target(), SETTINGS)
    model = OtherModel()
    embed_documents_again(quick_sample, model)
    embed_queries_again(quick_sample, model)
    assert cycle.apply(quick_sample.target(), SETTINGS).outcome == "applied"
    assert read_space(quick_sample.target()).number == 1


def test_former_searches_are_set_aside_beside_new_ones(quick_sample: SampleCollection):
    cycle.apply(quick_sample.target(), SETTINGS)
    model = OtherModel()
    embed_documents_again(quick_sample, model)
    with pytest.raises(ModelChanged):
        cycle.apply(quick_sample.target(), SETTINGS)
    for name in ("queries", "events"):
        records = getattr(quick_sample.target(), name)
        now = time.time() + 1
        for batch in list(records.scan()):
            new = [record for record in batch if record.document["query_id"] >= "q5"]
            for record in new:
                record.document["timestamp"] = now
            records.put(new)
    plan = cycle.plan(quick_sample.target(), SETTINGS)
    assert plan.model is not None
    assert 0 < plan.model.former_searches < QUERIES


def test_max_drifted_share_of_one_suspects_nothing(quick_sample: SampleCollection):
    cycle.apply(quick_sample.target(), SETTINGS)
    embed_documents_again(quick_sample, OtherModel())
    plan = cycle.plan(quick_sample.target(), UNSUSPECTING)
    assert plan.model is not None
    assert not plan.model.refusal
