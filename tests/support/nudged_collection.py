"""A sample collection after one cycle, whose stored records a test can damage and put back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.errors import DamagedRecord, NudgeSyncError
from nudge_sync.store import checksum
from nudge_sync.store.target import Target
from nudge_sync.store.upkeep import verify
from nudge_sync.writing import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.sample_collection import (
    DIMENSION,
    JUDGED_POINTS,
    POINTS,
    SETTINGS,
    SampleCollection,
    open_sample_collection,
)

ORIGINALS, HISTORY, LEDGER = (
    f"docs__nudge_{name}" for name in ("originals", "history", "revisions")
)


@dataclass
class NudgedCollection:
    """A sample collection in memory after one cycle, and what it and its records held then."""

    sample_collection: SampleCollection
    saved_records: dict[str, dict[str, Any]]
    live_bytes: bytes

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        return self.sample_collection.database.store.records

    def keys(self, name: str) -> list[str]:
        return sorted(self.records[name])

    def document(self, name: str, key: str) -> dict[str, Any]:
        return json.loads(self.records[name][key][0])

    def target(self) -> Target:
        return self.sample_collection.target()

    def read_bytes(self) -> bytes:
        return self.sample_collection.read_vectors().tobytes()

    def put(self, name: str, key: str, document: Any, vector: Any) -> None:
        self.records[name][key] = (json.dumps(document), vector)

    def rewrite_with_checksum(
        self, name: str, key: str, change: Callable[[dict[str, Any]], Any]
    ) -> None:
        """Store what `change` makes of a document under a checksum that is right."""
        document = self.document(name, key)
        vector = self.records[name][key][1]
        body = {k: v for k, v in document.items() if k not in {"seal", "vector"}}
        change(body)
        record = checksum.add_checksum(key, body, vector)
        self.put(name, key, record.document, vector)


@pytest.fixture(scope="module")
def shared_nudged_collection(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[NudgedCollection]:
    """Nudge a sample collection once for all tests of a file."""
    with open_sample_collection("memory", tmp_path_factory.mktemp("sample")) as sample_collection:
        sample_collection.add_judgements()
        cycle.apply(sample_collection.target(), SETTINGS)
        saved_records = {
            name: dict(found) for name, found in sample_collection.database.store.records.items()
        }
        yield NudgedCollection(
            sample_collection, saved_records, sample_collection.read_vectors().tobytes()
        )


@pytest.fixture
def nudged_collection(shared_nudged_collection: NudgedCollection) -> Iterator[NudgedCollection]:
    """Lend the shared collection to one test, and bring everything back afterwards."""
    yield shared_nudged_collection
    shared_nudged_collection.sample_collection.upsert(
        list(range(POINTS)),
        np.frombuffer(shared_nudged_collection.live_bytes, np.float32).reshape(POINTS, DIMENSION),
    )
    shared_nudged_collection.records.clear()
    shared_nudged_collection.records.update(
        {name: dict(found) for name, found in shared_nudged_collection.saved_records.items()}
    )


def list_attempts(sample_collection: SampleCollection) -> Iterator[tuple[str, Callable[[], Any]]]:
    target = sample_collection.target()
    yield "verify", lambda: verify.verify(target)
    yield "plan", lambda: cycle.plan(target, SETTINGS)
    yield "resume", lambda: resume.resume(target, SETTINGS)
    yield "apply", lambda: cycle.apply(target, SETTINGS)
    yield "undo", lambda: roll_back(target, SETTINGS)
    yield "originals", lambda: roll_back(target, SETTINGS, originals=True)


def assert_refused(nudged_collection: NudgedCollection, key: str, *names: str) -> None:
    """Assert that each of these verbs names the record, and that the collection keeps every bit."""
    for name, attempt in list_attempts(nudged_collection.sample_collection):
        if name in names:
            with pytest.raises(DamagedRecord) as error:
                attempt()
            assert repr(key)[:100] in str(error.value), name
            assert nudged_collection.read_bytes() == nudged_collection.live_bytes, name


def assert_harmless(nudged_collection: NudgedCollection) -> None:
    """Assert that each verb succeeds or refuses, and writes nothing but what intact records say."""
    original = nudged_collection.sample_collection.data.vectors[:JUDGED_POINTS]
    for _, attempt in list_attempts(nudged_collection.sample_collection):
        try:
            attempt()
        except NudgeSyncError:
            continue
    now = nudged_collection.sample_collection.read_vectors(range(JUDGED_POINTS))
    before = np.frombuffer(nudged_collection.live_bytes, np.float32).reshape(POINTS, DIMENSION)[
        :JUDGED_POINTS
    ]
    ours = (now == before).all(axis=1) | (now == original).all(axis=1)
    assert ours.all()
