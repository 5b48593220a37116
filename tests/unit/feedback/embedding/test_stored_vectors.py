"""Texts whose vector is stored already are not embedded again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nudge_sync.connector import Record
from nudge_sync.feedback.embedding.embedder import Embedder
from nudge_sync.feedback.embedding.rows import embed_source
from nudge_sync.feedback.embedding.stored_vectors import StoredVectors
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.report import ImportReport
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.schema.records import EMBEDDED_BY_FIELD, Search, to_search_record
from tests.support.feedback_files import DIMENSION


class Model:
    """Texts into vectors by their length, remembering what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.asked += texts
        return np.array([[len(text), 1, 0, 0] for text in texts], np.float32)


@pytest.fixture
def model() -> Model:
    return Model()


def import_texts(
    destination: Destination, model: Model, name: str, *rows: dict[str, Any], **options: Any
) -> ImportReport:
    """Import searches with an embedder of this name, as a run of its own."""
    names_model = ":" in name and not name.startswith("module")
    embedder = Embedder(name, model, names_model=names_model, **options)
    stored = StoredVectors.for_embedder(
        destination.queries,
        embedder,
        destination.space,
        destination.collection.describe().dimension,
    )
    contents = [{"type": "search", **row} for row in rows]
    source = Source(
        lambda: (SourceRow("log", line, "", row) for line, row in enumerate(contents)),
        lambda: len(contents),
    )
    return import_rows([embed_source(source, embedder, stored)], destination)


WINGS = {"query_id": "a", "text": "wings"}


@pytest.mark.parametrize("name", ["fastembed:small", "module:function"])
def test_a_search_that_comes_again_is_not_embedded_again(destination, model, name):
    import_texts(destination, model, name, WINGS)
    assert import_texts(destination, model, name, WINGS).unchanged == 1
    assert model.asked == ["wings"]


def test_half_a_surrogate_in_a_stored_text_stops_nothing(destination, model):
    half = Search("h", np.ones(DIMENSION, np.float32), "wing\ud83e")
    record = to_search_record(half)
    embedded = {**record.document, EMBEDDED_BY_FIELD: "fastembed:small"}
    destination.queries.put([Record(record.key, embedded, record.vector)])
    import_texts(destination, model, "fastembed:small", WINGS)
    assert model.asked == ["wings"]


def test_the_same_text_of_another_search_is_not_embedded_again(destination, model):
    import_texts(destination, model, "fastembed:small", WINGS)
    report = import_texts(
        destination, model, "fastembed:small", {**WINGS, "query_id": "b"}, {**WINGS, "text": "x"}
    )
    assert (report.searches, model.asked) == (2, ["wings", "x"])
    assert destination.queries.kept["b"].vector.tolist() == [5, 1, 0, 0]
    assert destination.queries.kept["b"].document["embedded_by"] == "fastembed:small"


def test_code_of_ones_own_may_be_another_model_each_time(destination, model):
    import_texts(destination, model, "module:function", WINGS)
    import_texts(destination, model, "module:function", {**WINGS, "query_id": "b"})
    assert model.asked == ["wings", "wings"]


def test_another_model_embeds_again(destination, model):
    import_texts(destination, model, "fastembed:small", WINGS)
    import_texts(destination, model, "fastembed:large", WINGS)
    assert model.asked == ["wings", "wings"]
    assert destination.queries.kept["a"].document["embedded_by"] == "fastembed:large"


def test_another_space_embeds_again(destination, model):
    import_texts(destination, model, "fastembed:small", WINGS)
    moved = Destination(destination.queries, destination.events, destination.collection, space=2)
    import_texts(moved, model, "fastembed:small", WINGS)
    import_texts(moved, model, "fastembed:small", {**WINGS, "query_id": "b"})
    assert model.asked == ["wings", "wings"]
    assert [destination.queries.kept[name].document["space"] for name in "ab"] == [2, 2]


@pytest.mark.parametrize("name", ["fastembed:small", "module:function"])
def test_a_vector_of_another_dimension_is_embedded_again(destination, model, name):
    record = to_search_record(Search("a", np.ones(DIMENSION + 1, np.float32), "wings"))
    document = {**record.document, EMBEDDED_BY_FIELD: name}
    destination.queries.put([Record("a", document, record.vector)])
    import_texts(destination, model, name, {**WINGS, "query_id": "b"})
    report = import_texts(destination, model, name, WINGS)
    assert report.searches == 1
    assert set(model.asked) == {"wings"}
    assert [len(destination.queries.kept[each].vector) for each in "ab"] == [DIMENSION, DIMENSION]


def test_a_limit_is_gone_past_the_next_time(destination, model):
    rows = [{"query_id": str(number), "text": "x" * (number + 1)} for number in range(5)]
    counts = [
        import_texts(destination, model, "module:function", *rows, max_texts=2).searches
        for _ in range(3)
    ]
    assert counts == [2, 4, 5]
    assert sorted(model.asked) == [row["text"] for row in rows]
    assert len(destination.queries.kept["0"].vector) == DIMENSION
