"""The kit itself: it catches every broken connector, and by the test that is about it."""

from __future__ import annotations

import inspect
from itertools import product

import pytest

from nudge_sync.testing.collections import CASES
from nudge_sync.testing.conformance import CollectionConformance, RecordsConformance, prepared
from nudge_sync.testing.engine import DIMENSION
from nudge_sync.testing.memory import MemoryDatabase
from nudge_sync.testing.records.copies import ReplicationConformance
from nudge_sync.testing.records.dimensions import (
    OTHER_DIMENSIONS,
    DimensionConformance,
    open_mixed_records,
)
from nudge_sync.testing.records.keeping import NAME
from nudge_sync.testing.records.sizes import SizeConformance, open_sized_records
from tests.support import broken_collections, broken_options, broken_records
from tests.support.memory_backdoor import make_memory_engine

COLLECTION_TESTS = [name for name in vars(CollectionConformance) if name.startswith("test_")]
RECORDS_TESTS = [name for name in vars(RecordsConformance) if name.startswith("test_")]
DIMENSION_TESTS = [name for name in vars(DimensionConformance) if name.startswith("test_")]
SIZE_TESTS = [name for name in vars(SizeConformance) if name.startswith("test_")]
COPIES_TESTS = [name for name in vars(ReplicationConformance) if name.startswith("test_")]


def passes_test(suite, test, database_class) -> bool:
    """Whether a test of the kit passes for this kind of database, on every case."""
    function = getattr(suite(), test)
    parameters = inspect.signature(function).parameters
    for metric, integer_ids in CASES if "case" in parameters else CASES[:1]:
        engine = make_memory_engine(database_class())
        arguments = {"engine": engine}
        if "case" in parameters:
            arguments["case"] = prepared(engine, metric, integer_ids=integer_ids)
        if "records" in parameters:
            arguments["records"] = engine.database.records(NAME, DIMENSION)
        if "sized_records" in parameters:
            arguments["sized_records"] = open_sized_records(engine)
        if "mixed_records" in parameters:
            arguments["mixed_records"] = open_mixed_records(engine)
            arguments["other_dimension"] = OTHER_DIMENSIONS[1]
        if "collection_name" in parameters:
            case = prepared(engine, metric, integer_ids=integer_ids)
            arguments["collection_name"] = case.name
        try:
            function(**{name: arguments[name] for name in parameters})
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
        *product([ReplicationConformance], COPIES_TESTS),
        *product([SizeConformance], SIZE_TESTS),
        *product([DimensionConformance], DIMENSION_TESTS),
    ],
)
def test_a_sound_connector_passes(suite, test):
    assert passes_test(suite, test, MemoryDatabase)


@pytest.mark.parametrize(
    "kind", broken_collections.BROKEN_COLLECTIONS, ids=lambda kind: kind.__name__
)
def test_broken_collections_are_caught(kind):
    database = broken_collections.make_collection_database(kind)
    assert not passes_test(
        CollectionConformance, broken_collections.BROKEN_COLLECTIONS[kind], database
    )


@pytest.mark.parametrize("kind", broken_records.BROKEN_RECORDS, ids=lambda kind: kind.__name__)
def test_broken_records_are_caught(kind):
    database = broken_records.make_records_database(kind)
    assert not passes_test(RecordsConformance, broken_records.BROKEN_RECORDS[kind], database)


@pytest.mark.parametrize(
    "database", broken_options.BROKEN_REPLICATION, ids=lambda database: database.__name__
)
def test_broken_replication_is_caught(database):
    test = broken_options.BROKEN_REPLICATION[database]
    assert not passes_test(ReplicationConformance, test, database)


@pytest.mark.parametrize("database", broken_options.BROKEN_SIZES, ids=lambda kind: kind.__name__)
def test_broken_sizes_are_caught(database):
    assert not passes_test(SizeConformance, broken_options.BROKEN_SIZES[database], database)


@pytest.mark.parametrize("kind", broken_records.BROKEN_DIMENSIONS, ids=lambda kind: kind.__name__)
def test_broken_dimensions_are_caught(kind):
    database = broken_records.make_records_database(kind)
    assert not passes_test(DimensionConformance, broken_records.BROKEN_DIMENSIONS[kind], database)


@pytest.mark.parametrize("test", ["test_no_such_collection", "test_no_such_vector"])
def test_finding_any_collection_is_caught(test):
    assert not passes_test(CollectionConformance, test, broken_collections.FindsAnyCollection)


def test_forgetting_is_caught():
    test = "test_records_outlive_the_connection"
    assert not passes_test(RecordsConformance, test, broken_records.ForgetsOnClose)


def test_the_kit_asks_its_author_for_an_engine():
    for suite in (CollectionConformance, RecordsConformance):
        with pytest.raises(NotImplementedError):
            suite.engine.__wrapped__(suite())
