"""Counts of records in Qdrant Edge: exact, whichever way the engine is asked."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("qdrant_edge")

from qdrant_edge import EdgeShard, Filter

from nudge_sync.connector import Record
from nudge_sync.testing.engine import unit_rows
from nudge_sync.testing.memory import MemoryDatabase
from nudge_sync_qdrant_edge import connect
from nudge_sync_qdrant_edge.counting import count_records

FIELDS = ("time", "stamp")
NUMBERS = st.integers(0, 40).map(float)
RANGES = st.tuples(NUMBERS, NUMBERS)
WHERES = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"time": RANGES}),
    st.fixed_dictionaries({"stamp": RANGES}),
    st.fixed_dictionaries({"time": RANGES, "stamp": RANGES}),
    st.fixed_dictionaries({"time": RANGES, "kind": st.sampled_from(["a", "b"])}),
    st.fixed_dictionaries({"unindexed": RANGES}),
    st.fixed_dictionaries({"time": st.just(0.5)}),
)
DOCUMENTS = st.fixed_dictionaries(
    {"time": NUMBERS | st.just(0.5), "kind": st.sampled_from(["a", "b"])},
    optional={"stamp": NUMBERS | st.just("7"), "unindexed": NUMBERS},
)
PUTS = st.tuples(st.just("put"), st.lists(st.tuples(st.integers(0, 60), DOCUMENTS), max_size=40))
DELETIONS = st.tuples(st.just("delete"), st.lists(st.integers(0, 60), max_size=20))
REOPENINGS = st.tuples(st.just("reopen"), st.none())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PUTS | DELETIONS | REOPENINGS, max_size=8), st.lists(WHERES, min_size=6))
def test_counts_are_those_of_a_model(steps, wheres):
    model = MemoryDatabase().records("records", indexed=FIELDS)
    with TemporaryDirectory() as folder:
        database = connect({"path": folder, "sync": False})
        records = database.records("records", indexed=FIELDS)
        for step, content in steps:
            if step == "put":
                for either in (records, model):
                    either.put([Record(str(key), document) for key, document in content])
            elif step == "delete":
                for either in (records, model):
                    either.delete([str(key) for key in content])
            else:
                database.close()
                database = connect({"path": folder, "sync": False})
                records = database.records("records", indexed=FIELDS)
        counted = [records.count(where) for where in wheres]
        database.close()
    assert counted == [model.count(where) for where in wheres]


@pytest.fixture
def log(directory):
    """Store a log of 3,000 records, of which the last three were stored late."""
    with closing(connect({"path": str(directory), "sync": False})) as database:
        records = database.records("log", indexed=FIELDS)
        put_log(records, [*map(float, range(2997)), 9000.0, 9001.0, 9002.0])


def put_log(records, stamps):
    records.put(
        [Record(str(row), {"time": float(row), "stamp": stamp}) for row, stamp in enumerate(stamps)]
    )


class CountedShard:
    """A shard that notes the filters whose matches it counts one by one."""

    def __init__(self, shard: EdgeShard) -> None:
        self.shard = shard
        self.filters: list[Filter | None] = []

    def info(self):
        return self.shard.info()

    def count(self, request):
        if request.exact:
            self.filters.append(request.filter)
        return self.shard.count(request)


@pytest.fixture
def shard(log, directory):
    shard = EdgeShard.load(str(directory / "log"))
    yield CountedShard(shard)
    shard.close()


def test_the_whole_log_is_not_counted_one_by_one(shard):
    assert count_records(shard, {}) == 3000
    assert shard.filters == []


def test_of_nearly_all_the_few_others_are_counted(shard):
    assert count_records(shard, {"time": (0.0, 1e6), "stamp": (0.0, 9000.0)}) == 2997
    (others,) = shard.filters
    assert others.must is None
    assert len(others.should) == 4


def test_of_few_those_are_counted(shard):
    assert count_records(shard, {"time": (2990.0, 1e6), "stamp": (0.0, 9000.0)}) == 7
    (matching,) = shard.filters
    assert matching.should is None


def test_records_without_a_number_are_in_no_range(log, directory):
    with closing(connect({"path": str(directory), "sync": False})) as database:
        records = database.records("log", indexed=FIELDS)
        records.put([Record("bare", {"time": 5.0}), Record("text", {"time": 6.0, "stamp": "6"})])
        assert records.count({"stamp": (0.0, 1e6)}) == 3000
        assert records.count({"time": (0.0, 1e6)}) == records.count() == 3002


def test_points_in_two_segments_count_once(directory):
    vectors = unit_rows(3000, seed=0, dimension=1024)
    documents = [{"time": float(row), "stamp": float(row)} for row in range(3000)]
    rows = zip(documents, vectors, strict=True)
    stored = [Record(str(row), *pair) for row, pair in enumerate(rows)]
    with closing(connect({"path": str(directory), "sync": False})) as database:
        database.records("log", 1024, indexed=FIELDS).put(stored)
    # 12 MB are enough for the engine to index them, and to take what follows elsewhere.
    shard = EdgeShard.load(str(directory / "log"))
    shard.optimize()
    assert shard.info().segments_count > 1
    shard.close()
    with closing(connect({"path": str(directory), "sync": False})) as database:
        records = database.records("log", 1024, indexed=FIELDS)
        records.put(
            [replace(record, document={"time": 1.0, "stamp": 9000.0}) for record in stored[:100]]
        )
        assert records.count() == 3000
        assert records.count({"time": (0.0, 1e6), "stamp": (0.0, 9000.0)}) == 2900
