"""Any JSON in a stored record is a record or is refused by name; never another exception."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nudge_sync import cycle
from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord, NudgeSyncError
from nudge_sync.store import checksum, lease, schema
from nudge_sync.store.ledger import Revision, parse_entry
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.memory import MemoryDatabase
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from nudge_sync_milvus.record_codec import Entry, decode_record
from nudge_sync_qdrant_common import record_codec
from tests.support.sample_collection import (
    JUDGED_POINTS,
    SETTINGS,
    SampleCollection,
    open_sample_collection,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["0" * 32, "lease", "revision", "applied", "\ud800", "../x", 2**63, -1, 1e308]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
VECTORS = st.sampled_from([None, np.zeros(4, np.float32), np.full(4, np.nan, np.float32)])
ORIGINAL = {"id": 7, "revision": 1, "at": 1}
LINE = {"id": 7, "revision": 1, "original": "0" * 32, "replaced": "1" * 32}
ENTRY = {"number": 1, "kind": "apply", "state": "applied", "parent": 0, "to": 1, "details": {},
         "generation": 1}  # fmt: skip
LEASE = {"token": "t", "host": "h", "process": "b/n/1/2", "acquired": 1, "expires": 2,
         "seconds": 3.0, "generation": 1}  # fmt: skip


def alter_document(whole: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw the dictionary with some fields replaced by any JSON, some left out and some added."""
    names = st.sampled_from([*whole, "unknown", "details", "vector", "seal"])
    return st.builds(
        lambda gone, put: {k: v for k, v in {**whole, **put}.items() if k not in gone},
        st.sets(st.sampled_from([*whole]), max_size=1),
        st.dictionaries(names, JSON, max_size=3),
    )


def record_or_named(read: Callable[[], Any], name: str) -> Any:
    try:
        return read()
    except DamagedRecord as error:
        message = str(error)
    assert name in message
    return None


@pytest.mark.parametrize(
    ("kind", "whole"), [(schema.OriginalDocument, ORIGINAL), (schema.HistoryDocument, LINE)]
)
@given(data=st.data())
def test_any_original_or_history_record(kind, whole, data):
    body, vector = data.draw(alter_document(whole)), data.draw(VECTORS)
    record = checksum.add_checksum("1:7", body, vector)
    for vectors in (True, False):
        read = partial(schema.validate_records, [record], "docs__nudge_x", kind, vectors=vectors)
        found = record_or_named(read, "1:7")
        if found:
            document = found[0].document
            assert (document["revision"], str(document["id"])) == (1, "7")


@given(
    entry=alter_document(ENTRY) | JSON, around=alter_document({"kind": "revision", "generation": 1})
)
def test_any_ledger_entry(entry, around):
    record = checksum.add_checksum("revision:00000001", {**around, "entry": entry})
    found = record_or_named(lambda: parse_entry(record, "docs__nudge_revisions"), "revision:0000")
    if found is not None:
        assert isinstance(found, Revision)
        assert found.parent < found.number == 1
        found.summary()


@given(content=alter_document(LEASE) | JSON, generation=st.just(1) | JSON)
def test_any_lease(content, generation):
    database = MemoryDatabase()
    database.store.create("docs", 2, "dot", integer_ids=True)
    target = open_target(database, "docs")
    document = {"kind": "lease", "generation": generation, "lease": content}
    target.ledger_records.put([checksum.add_checksum(lease.LEASE_KEY, jsonable(document))])
    holder = record_or_named(lambda: lease.read_active_lease(target), lease.LEASE_KEY)
    if holder is not None:
        holder.describe()
    try:
        with lease.hold_lease(target, 10):
            assert lease.read_active_lease(target) is not None
    except NudgeSyncError:
        lease.break_lease(target)
        with lease.hold_lease(target, 10):
            assert lease.read_active_lease(target) is not None


def jsonable(value: Any) -> Any:
    """Return the value without what JSON cannot hold, with which no record can be stored."""
    return json.loads(json.dumps(value, allow_nan=True), parse_constant=lambda _: 0.5)


TEXTS = st.text(max_size=60) | JSON.map(json.dumps)


@given(texts=st.lists(st.builds("{}{}".format, st.sampled_from(["", "=", "z"]), TEXTS)))
def test_any_texts_of_milvus(texts):
    found = record_or_named(lambda: decode_record(texts, np.zeros(4, np.float32)), "")
    assert found is None or isinstance(found, Entry)


@given(payload=st.dictionaries(st.sampled_from(["key", "document", "tokens", "x"]), JSON | TEXTS))
def test_any_payload_of_qdrant(payload):
    found = record_or_named(lambda: record_codec.decode_record(payload, None), "")
    assert found is None or isinstance(found, Record)


@pytest.fixture(scope="module")
def sample_collection(tmp_path_factory) -> Iterator[SampleCollection]:
    with open_sample_collection("memory", tmp_path_factory.mktemp("world")) as sample:
        sample.add_judgements()
        cycle.apply(sample.target(), SETTINGS)
        yield sample


NAMES = [f"docs__nudge_{kind}" for kind in ("originals", "history", "revisions")]
STORED = [*NAMES, "docs__nudge_queries", "docs__nudge_events"]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(STORED), at=st.integers(0, 10**6), forged=st.booleans(), data=st.data())
def test_no_stored_record_makes_a_verb_fail_otherwise(
    sample_collection: SampleCollection, name, at, forged, data
):
    store = sample_collection.database.store
    kept = {each: dict(found) for each, found in store.records.items()}
    before = sample_collection.read_vectors()
    keys = sorted(store.records[name])
    key = keys[at % len(keys)]
    text, vector = store.records[name][key]
    body = {k: v for k, v in json.loads(text).items() if not forged or k not in {"seal", "vector"}}
    changed = jsonable(data.draw(alter_document(body)))
    if forged and name in NAMES:
        changed = checksum.add_checksum(key, changed, vector).document
    store.records[name][key] = (json.dumps(changed), vector)
    try:
        run_each_verb(sample_collection, before, damage=name in NAMES and not forged)
    finally:
        sample_collection.upsert(list(range(len(before))), before)
        store.records.clear()
        store.records.update(kept)


def run_each_verb(sample_collection: SampleCollection, before: Any, *, damage: bool) -> None:
    target, original = sample_collection.target(), sample_collection.data.vectors[:JUDGED_POINTS]
    messages = []
    for work in (
        lambda: verify(target),
        lambda: cycle.plan(target, SETTINGS),
        lambda: resume(target, SETTINGS),
        lambda: cycle.apply(target, SETTINGS),
        lambda: roll_back(target, SETTINGS, originals=True),
    ):
        try:
            work()
        except NudgeSyncError as error:
            messages.append(str(error))
    assert "" not in messages
    now = sample_collection.read_vectors(range(JUDGED_POINTS))
    ours = (now == before[:JUDGED_POINTS]).all(axis=1) | (now == original).all(axis=1)
    # A forged record with the right checksum, and other feedback, may rightly lead elsewhere.
    assert ours.all() or not damage
