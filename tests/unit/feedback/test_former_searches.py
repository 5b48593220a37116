"""Searches of a former embedding space are left out, until an import embeds them again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nudge_sync.base.arrays import Float32
from nudge_sync.connector import Record
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.sources import Source, SourceRow
from nudge_sync.feedback.log.former_searches import FormerSearches
from nudge_sync.feedback.schema.records import (
    VECTOR_DIGEST_FIELD,
    Search,
    compute_vector_digest,
    to_search_record,
)
from nudge_sync.store.embedding_space import EmbeddingSpace
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore

OLD, NEW = np.eye(2, dtype=np.float32)
SPACE = EmbeddingSpace(number=2, since=1_000_000)


@pytest.fixture
def store() -> MemoryStore:
    """A collection of two points."""
    store = MemoryStore()
    store.create("docs", 2, "cosine")
    store.upsert("docs", [0, 1], np.eye(2, dtype=np.float32))
    return store


@pytest.fixture
def destination(store: MemoryStore) -> Destination:
    """A log with one search of the first space, to which searches of the second are imported."""
    target = open_target(MemoryDatabase(store), "docs")
    target.queries.put([to_search_record(Search("q", OLD, "wings", 10.0, shown=(0, 1)))])
    return Destination(target.queries, target.events, target.collection, space=SPACE.number)


def import_search(
    destination: Destination, vector: Float32, *, is_embedded: bool, **fields: Any
) -> Record:
    content = {"type": "search", "query_id": "q", "query_vector": vector, **fields}
    row = SourceRow(
        "log",
        1,
        "",
        content,
        is_incidental=not fields,
        embedded_by="model:embed" if is_embedded else "",
    )
    import_rows([Source(lambda: iter([row]), lambda: 1)], destination)
    [record] = destination.queries.get(["q"])
    return record


def count_former(*records: Record, space: EmbeddingSpace = SPACE) -> int:
    former = FormerSearches(space)
    kept = former.leave_out(list(records))
    assert len(kept) + former.count == len(records)
    return former.count


LOGGED = {"text": "wings", "time": 10.0, "shown": [0, 1]}


def test_a_search_from_before_the_change_is_left_out(destination: Destination):
    [record] = destination.queries.get(["q"])
    assert count_former(record) == 1
    assert count_former(record, space=EmbeddingSpace()) == 0


def test_a_search_after_the_change_counts():
    assert count_former(to_search_record(Search("q", NEW, timestamp=1000.0))) == 0
    assert count_former(to_search_record(Search("q", NEW, timestamp=999.9))) == 1


@pytest.mark.parametrize("fields", [LOGGED, {}], ids=["logged", "incidental"])
def test_a_search_that_is_embedded_again_counts_and_keeps_what_was_logged(
    destination: Destination, fields: dict[str, Any]
):
    record = import_search(destination, NEW, is_embedded=True, **fields)
    assert count_former(record) == 0
    np.testing.assert_array_equal(record.vector, NEW)
    assert record.document["shown"] == [0, 1]
    assert record.document["timestamp"] == 10.0


def test_the_log_of_old_brings_no_old_vector_back(destination: Destination):
    import_search(destination, NEW, is_embedded=True, **LOGGED)
    record = import_search(destination, OLD, is_embedded=False, **LOGGED)
    np.testing.assert_array_equal(record.vector, NEW)
    assert count_former(record) == 0


@pytest.mark.parametrize("space", [1, 2])
@pytest.mark.parametrize("is_embedded", [False, True])
@pytest.mark.parametrize("fields", [LOGGED, {}], ids=["logged", "incidental"])
def test_a_vector_that_does_not_fit_is_replaced_by_one_that_does(
    store: MemoryStore,
    destination: Destination,
    *,
    space: int,
    is_embedded: bool,
    fields: dict[str, Any],
):
    former = to_search_record(Search("q", np.ones(3, np.float32), "wings", 10.0, shown=(0, 1)))
    former.document.update(space=space, embedded_by="model:former")
    MemoryDatabase(store).records("docs__nudge_queries", 3).put([former])
    present = replace(destination, space=space)
    record = import_search(present, NEW, is_embedded=is_embedded, **fields)
    np.testing.assert_array_equal(record.vector, NEW)
    assert record.document[VECTOR_DIGEST_FIELD] == compute_vector_digest(NEW)
    assert record.document.get("embedded_by", "") == ("model:embed" if is_embedded else "")
    assert record.document["shown"] == [0, 1]
    assert record.document["timestamp"] == 10.0


def test_another_vector_from_a_file_is_of_the_new_space(destination: Destination):
    assert count_former(import_search(destination, NEW, is_embedded=False, **LOGGED)) == 0


def test_the_same_vector_from_a_file_stays_of_the_old_space(destination: Destination):
    assert count_former(import_search(destination, OLD, is_embedded=False, **LOGGED)) == 1


@pytest.mark.parametrize("document", [None, [], {"timestamp": None}, {"timestamp": "then"}])
def test_what_is_no_search_is_left_to_those_who_count_it(document: Any):
    assert count_former(Record("x", document)) == 0


def test_nonsense_in_the_field_is_no_space():
    record = to_search_record(Search("q", OLD, timestamp=1.0))
    record.document["space"] = "2"
    assert count_former(record) == 1
