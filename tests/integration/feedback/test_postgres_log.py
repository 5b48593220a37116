"""A log in PostgreSQL, which DuckDB reads with an extension of its own."""

from __future__ import annotations

import os

import duckdb
import pytest

from nudge_sync.errors import ConfigError
from nudge_sync.feedback.log.external import open_feedback
from nudge_sync.feedback.log.load import load_log
from nudge_sync.settings.feedback import EventLog, FeedbackSettings, SearchLog
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore

ADDRESS = os.environ.get("POSTGRES_URL", "")
DIMENSION = 4
FILL = """
DROP TABLE IF EXISTS shop.nudge_searches;
DROP TABLE IF EXISTS shop.nudge_clicks;
CALL postgres_execute('shop', '
    CREATE TABLE nudge_searches
        (qid uuid, vec real[], asked timestamptz, hits bigint[], meta jsonb);
    CREATE TABLE nudge_clicks (qid uuid, docs text[], pos smallint, at timestamp, who text);
    INSERT INTO nudge_searches SELECT md5(i::text)::uuid, ARRAY[1, i, 2, 3],
        to_timestamp(1.7e9 + i), ARRAY[1, 2, i],
        jsonb_build_object(''user'', jsonb_build_object(''id'', ''u'' || i))
        FROM generate_series(1, 100) i;
    INSERT INTO nudge_clicks SELECT md5(i::text)::uuid, ARRAY[''1'', ''2''], 1, NULL, NULL
        FROM generate_series(1, 100) i;
');
"""
pytestmark = pytest.mark.skipif(not ADDRESS, reason="no POSTGRES_URL with tables to write")


@pytest.fixture
def settings() -> FeedbackSettings:
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{ADDRESS}' AS shop (TYPE postgres)")
        connection.execute(FILL)
    searches = SearchLog(
        database=ADDRESS,
        table="public.nudge_searches",
        query_id="qid",
        vector="vec",
        time="asked",
        shown="hits",
        client="meta.user.id",
    )
    events = EventLog(
        database=ADDRESS,
        table="nudge_clicks",
        query_id="qid",
        point="docs",
        position="pos",
        time="at",
        client="who",
    )
    return FeedbackSettings(searches=searches, events=events)


@pytest.fixture
def target() -> Target:
    store = MemoryStore()
    store.create("docs", DIMENSION)
    return open_target(MemoryDatabase(store), "docs")


def test_types_of_postgresql_are_read(settings: FeedbackSettings, target: Target):
    feedback = open_feedback(target, settings)
    assert (feedback.queries.count(), feedback.events.count()) == (100, 200)
    log = load_log(feedback.queries, feedback.events, settings, DIMENSION)
    assert (len(log.searches.time), len(log.behaviour), log.unreadable_records) == (100, 200, 0)
    assert log.searches.time.min() == 1.7e9 + 1
    assert set(log.client_ids) == {"", *(f"u{number}" for number in range(1, 101))}
    key = log.searches.query_ids[0]
    [record] = feedback.queries.get([key])
    assert record.document["shown"][:2] == [1, 2]


def test_a_wrong_password_is_named(
    settings: FeedbackSettings, target: Target, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PGPASSWORD", "no such password")
    with pytest.raises(ConfigError, match=r"nudge_searches: .*password") as refused:
        open_feedback(target, settings).queries.count()
    assert "no such password" not in str(refused.value)
