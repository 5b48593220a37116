"""A log in a table gives the same bits column by column as record by record."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nudge_sync.connector import Record
from nudge_sync.errors import ConfigError
from nudge_sync.feedback.log.columnar import events as table_events
from nudge_sync.feedback.log.columns import Log
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.log.load import load_log
from nudge_sync.feedback.schema.records import (
    Event,
    Search,
    to_event_record,
    to_search_record,
)
from nudge_sync.settings.feedback import EventLog, FeedbackSettings, SearchLog
from nudge_sync.store.embedding_space import EmbeddingSpace
from nudge_sync.store.target import Target
from tests.support.sample_collection import DIMENSION, open_sample_collection
from tests.support.table_log import RecordByRecord, write_table

NOW = 1_790_000_000
"""Seconds since 1970, less than ten years before any clock that runs these tests."""
VECTORS = np.random.default_rng(0).normal(size=(4, DIMENSION)).astype(np.float32)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with open_sample_collection("memory", tmp_path_factory.mktemp("sample")) as sample:
        yield sample.target()


def holes(values: st.SearchStrategy[Any], *others: Any) -> st.SearchStrategy[Any]:
    return st.one_of(values, st.sampled_from([None, *others]))


TEXT_HOLES = ("NULL", "nan", " \\N ")
"""What exports write where there is no value."""
NAMES = {
    "VARCHAR": holes(st.sampled_from(["q1", "q2", "q3", "7", "ä", "own"]), "", *TEXT_HOLES),
    "BIGINT": holes(st.integers(-2, 8)),
    "UBIGINT": holes(st.sampled_from([7, 2**63 + 1])),
    "DOUBLE": holes(st.sampled_from([7.0, 1e20]), 7.5, math.nan),
    "DECIMAL(18, 0)": holes(st.integers(0, 5)),
    "UUID": holes(st.integers(1, 4).map(lambda n: UUID(int=n))),
    "STRUCT(id VARCHAR)": holes(
        st.sampled_from([{"id": "q1"}, {"id": "q2"}, {"id": None}, {"id": ""}])
    ),
    "JSON": holes(st.sampled_from(['{"id": "q1"}', '{"id": 7}', "{}", "3", '{"id": null}'])),
    "MAP(VARCHAR, VARCHAR)": holes(st.sampled_from([{"id": "q1"}, {"x": "q2"}])),
}
POINTS = {
    "VARCHAR": holes(st.sampled_from(["1", "2", " 3", "4.0", "x"]), "", *TEXT_HOLES),
    "INTEGER": holes(st.integers(0, 9)),
    "HUGEINT": holes(st.sampled_from([5, 2**70])),
    "DOUBLE": holes(st.sampled_from([1.0, 2.0]), 0.5, math.inf, math.nan),
    "UUID": holes(st.integers(1, 3).map(lambda n: UUID(int=n))),
    "INTEGER[]": holes(st.lists(holes(st.integers(0, 9)), max_size=3)),
    "VARCHAR[]": holes(st.lists(holes(st.sampled_from(["1", "2", "x"]), ""), max_size=3)),
    "JSON": holes(st.sampled_from(["[1, 2]", '"3"', "4", "null", "[]", '["5", null]'])),
    "STRUCT(doc STRUCT(id INTEGER))": holes(st.sampled_from([{"doc": {"id": 3}}, {"doc": None}])),
}
SHOWN = {
    "INTEGER[]": POINTS["INTEGER[]"],
    "VARCHAR[]": POINTS["VARCHAR[]"],
    "INTEGER[2]": holes(st.lists(st.integers(0, 9), min_size=2, max_size=2)),
    "VARCHAR": holes(
        st.sampled_from(["[1, 2]", "3|4", "x y", "[1", "['a', 'b']", "[007, 1e4]"]), "", "NULL"
    ),
    "JSON": holes(st.sampled_from(["[1, 2]", '[{"id": 3}, {"doc_id": "4"}]', "{}", "7"])),
    "STRUCT(id INTEGER, score FLOAT)[]": holes(
        st.lists(
            st.sampled_from([{"id": 1, "score": 0.5}, {"id": 2, "score": 0.1}, {"id": None}]),
            max_size=3,
        )
    ),
}
MOMENTS = ["2026-05-01 09:00:00.123456", "2001-01-01", "1960-01-01", "9000-01-01", "infinity"]
CALENDAR_NUMBERS = [20260501, 202605010900, 20260501090000, 20010101, 20261301]
TIMES = {
    "DOUBLE": holes(
        st.sampled_from([0.0, 1.5, NOW - 5e8, NOW + 0.25, NOW * 1e3, NOW * 1e6, NOW * 1e9]),
        math.nan,
        -1.0,
        1e30,
        20260501.0,
        20261301.0,
    ),
    "BIGINT": holes(
        st.sampled_from([0, NOW, NOW * 1000, NOW * 10**6, NOW * 10**9, -1, *CALENDAR_NUMBERS])
    ),
    "UBIGINT": holes(st.sampled_from([0, NOW, 2**64 - 1])),
    "VARCHAR": holes(
        st.sampled_from([str(NOW), f"{NOW}000", "2026-05-01T09:00:00+02:00", "soon", *MOMENTS]),
        "",
        *TEXT_HOLES,
        *map(str, CALENDAR_NUMBERS),
    ),
    "TIMESTAMP": holes(st.sampled_from(MOMENTS)),
    "TIMESTAMPTZ": holes(st.sampled_from(MOMENTS)),
    "TIMESTAMP_NS": holes(st.sampled_from(MOMENTS[:3])),
    "DATE": holes(st.sampled_from(["2026-05-01", "1960-01-01", "infinity"])),
}
POSITIONS = {
    "INTEGER": holes(st.integers(-1, 3), 10**7),
    "DOUBLE": holes(st.sampled_from([1.0, 2.0]), 1.5, math.nan, math.inf),
    "VARCHAR": holes(st.sampled_from(["1", "2,0", "x"]), "", *TEXT_HOLES),
}
GRADES = {
    "DOUBLE": holes(st.sampled_from([0.0, -0.0, 2.0, -1.0]), math.nan, 1e9),
    "BOOLEAN": holes(st.booleans()),
    "DECIMAL(5, 2)": holes(st.sampled_from([1.25, -2])),
    "VARCHAR": holes(st.sampled_from(["1.5", "-1", "inf", "x", "True"]), "", *TEXT_HOLES),
}
ACTIONS = {
    "VARCHAR": holes(
        st.sampled_from(["click", "relevant", "not_relevant", "skip", "1"]), "", "NULL"
    ),
    "INTEGER": holes(st.integers(0, 2)),
    "ENUM('click', 'skip')": holes(st.sampled_from(["click", "skip"])),
}


def list_vectors(scale: Any) -> st.SearchStrategy[Any]:
    rows = [scale(vector.tolist()) for vector in VECTORS]
    bad = [[0.0] * DIMENSION, [1.0], [math.nan] * DIMENSION, [], None, [None] * DIMENSION]
    return st.one_of(
        st.sampled_from(rows), st.sampled_from([row if row is None else scale(row) for row in bad])
    )


VECTOR_TYPES = {
    "FLOAT[]": list_vectors(lambda row: row),
    "DOUBLE[]": st.one_of(list_vectors(lambda row: row), st.just([1e300] * DIMENSION)),
    "VARCHAR": st.one_of(list_vectors(str), st.sampled_from(["", "x", None])),
}


@st.composite
def tables(draw: st.DrawFn, roles: dict[str, Any]) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    types = {role: draw(st.sampled_from(sorted(options))) for role, options in roles.items()}
    values = [roles[role][type_] for role, type_ in types.items()]
    return types, draw(st.lists(st.tuples(*values), max_size=12))


SEARCH_ROLES = {
    "query_id": NAMES, "vector": VECTOR_TYPES, "time": TIMES, "shown": SHOWN,
    "session": NAMES, "client": NAMES,
}  # fmt: skip
EVENT_ROLES = {
    "query_id": NAMES, "point": POINTS, "action": ACTIONS, "position": POSITIONS, "grade": GRADES,
    "time": TIMES, "session": NAMES, "client": NAMES,
}  # fmt: skip
PATHS = {
    "STRUCT(id VARCHAR)": ".id",
    "MAP(VARCHAR, VARCHAR)": ".id",
    "STRUCT(doc STRUCT(id INTEGER))": ".doc.id",
}


def map_fields(types: dict[str, str]) -> dict[str, str]:
    names = {role: role + PATHS.get(type_, "") for role, type_ in types.items()}
    return names | {
        role: f"{role}.id" for role in ("session", "client") if types.get(role) == "JSON"
    }


def list_bits(log: Log) -> Any:
    parts = (log.searches, log.behaviour, log.labels)
    arrays = [
        getattr(part, name) for part in parts for name in part.__slots__ if name != "query_ids"
    ]
    names = [list(some) for some in (log.searches.query_ids, log.session_ids, log.client_ids)]
    bits = [None if array is None else array.tobytes() for array in (*arrays, log.query_vectors)]
    # A search of another space is left out as such before anybody looks at its vector, or after.
    left_out = log.unreadable_records + log.former_searches
    return bits, names, log.point_ids, (log.action_counts, log.unweighted_events), left_out


OWN = (
    to_search_record(Search("own", VECTORS[0], timestamp=5.0, shown=(1, 2), session_id="s")),
    to_search_record(Search("q3", VECTORS[3], timestamp=float(NOW), propensities=())),
    Record("7", {"shown": [3]}, VECTORS[1]),
)
DIGESTED = 2
"""How many of these state a digest of their vector."""
OWN_EVENTS = (to_event_record(Event("q1", "click", 4)), to_event_record(Event("own", "click", 2)))


@settings(suppress_health_check=list(HealthCheck), max_examples=25)
@given(
    suffix=st.sampled_from([".parquet", ".duckdb"]),
    searches=tables(SEARCH_ROLES),
    events=tables(EVENT_ROLES),
    history_days=st.sampled_from([None, 1000.0]),
    own_count=st.sampled_from([0, 0, 2, 3]),
    space=st.sampled_from([None, EmbeddingSpace(2, since=(NOW - 1000) * 1000)]),
    batch_rows=st.sampled_from([2, 2**18]),
)
def test_both_routes_give_the_same_bits(
    target: Target,
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    searches: Any,
    events: Any,
    history_days: float | None,
    own_count: int,
    space: EmbeddingSpace | None,
    batch_rows: int,
):
    folder = tmp_path_factory.mktemp("table")
    place = {}
    for name, (types, rows) in (("searches", searches), ("events", events)):
        path = folder / f"{name}{suffix}"
        write_table(path, name, types, rows)
        place[name] = (
            {"files": str(path)}
            if suffix == ".parquet"
            else {"database": str(path), "table": f"main.{name}"}
        )
    fields = FeedbackSettings(
        searches=SearchLog(**place["searches"], **map_fields(searches[0])),
        events=EventLog(**place["events"], **map_fields(events[0])),
        actions={"click": 1.0, "relevant": 1.0, "not_relevant": -1.0, "1": 0.5},
        history_days=history_days,
    )
    for records in (target.queries, target.events):
        records.drop()
    target.queries.put(OWN[:own_count])
    target.events.put(OWN_EVENTS[:own_count])
    feedback = open_feedback(target, fields)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_events, "_BATCH_ROWS", batch_rows)
        by_columns = read_bits(feedback.queries, feedback.events, fields, space)
    feedback = open_feedback(target, fields)
    records = RecordByRecord(feedback.queries), RecordByRecord(feedback.events)
    by_records = read_bits(*records, fields, space)
    # Record by record, nobody looks at the vectors of a log that has no search of its own.
    if by_columns is not None:
        compared = slice(-1) if own_count == DIGESTED else slice(None)
        assert by_columns[compared] == by_records[compared]


def read_bits(queries: Any, events: Any, fields: FeedbackSettings, space: Any) -> Any:
    """Return the bits of the log; None where no vector is of the right size, which is refused."""
    try:
        return list_bits(load_log(queries, events, fields, DIMENSION, space=space))
    except ConfigError as error:
        assert "need vectors of" in str(error)  # noqa: PT017
        return None
