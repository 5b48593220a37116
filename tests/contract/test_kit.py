"""The kit itself: it catches every broken connector, and by the test that is about it."""

from __future__ import annotations

import inspect
from itertools import product

import broken_collections
import broken_records
import pytest
from memory_backdoor import memory_engine

from nudge_sync.testing.collections import CASES
from nudge_sync.testing.conformance import CollectionConformance, RecordsConformance, prepared
from nudge_sync.testing.engine import DIMENSION
from nudge_sync.testing.keeping import NAME
from nudge_sync.testing.memory import MemoryDatabase

COLLECTION_TESTS = [name for name in vars(CollectionConformance) if name.startswith("test_")]
RECORDS_TESTS = [name for name in vars(RecordsConformance) if name.startswith("test_")]


def passes(suite, test, database_kind) -> bool:
    """Whether a test of the kit passes for this kind of database, on every case."""
    function = getattr(suite(), test)
    wanted = inspect.signature(function).parameters
    for metric, integer_ids in CASES if "case" in wanted else CASES[:1]:
        engine = memory_engine(database_kind())
        given = {"engine": engine}
        if "case" in wanted:
            given["case"] = prepared(engine, metric, integer_ids=integer_ids)
        if "records" in wanted:
            given["records"] = engine.database.records(NAME, DIMENSION)
        try:
            function(**{name: given[name] for name in wanted})
        except pytest.skip.Exception:
            continue
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - any way to fail will do
            return False
    return True


@pytest.mark.parametrize(
    ("suite", "test"),
    [
        *product([CollectionConformance], COLLECTION_TESTS),
        *product([RecordsConformance], RECORDS_TESTS),
    ],
)
def test_a_sound_connector_passes(suite, test):
    assert passes(suite, test, MemoryDatabase)


@pytest.mark.parametrize("kind", broken_collections.BROKEN, ids=lambda kind: kind.__name__)
def test_broken_collections_are_caught(kind):
    database = broken_collections.with_collection(kind)
    assert not passes(CollectionConformance, broken_collections.BROKEN[kind], database)


@pytest.mark.parametrize("kind", broken_records.BROKEN, ids=lambda kind: kind.__name__)
def test_broken_records_are_caught(kind):
    database = broken_records.with_records(kind)
    assert not passes(RecordsConformance, broken_records.BROKEN[kind], database)


@pytest.mark.parametrize("test", ["test_no_such_collection", "test_no_such_vector"])
def test_finding_any_collection_is_caught(test):
    assert not passes(CollectionConformance, test, broken_collections.FindsAnyCollection)


def test_forgetting_is_caught():
    test = "test_records_outlive_the_connection"
    assert not passes(RecordsConformance, test, broken_records.Forgets)


def test_the_kit_asks_its_author_for_an_engine():
    for suite in (CollectionConformance, RecordsConformance):
        with pytest.raises(NotImplementedError):
            suite.engine.__wrapped__(suite())
