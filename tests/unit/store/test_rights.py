"""What the database does not allow is said before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings
from nudge_sync.errors import Unauthorised
from nudge_sync.store.rights import find_missing_rights
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back

SETTINGS = CollectionSettings()
SENTENCE = 'the key may read "docs" but not write to it'


class GuardedMemoryDatabase(MemoryDatabase):
    """A database that lets its user read and nothing else."""

    asked: list[tuple[str, Sequence[str]]]

    def missing_rights(self, collection: str, companions: Sequence[str]) -> list[str]:
        self.asked = [(collection, companions)]
        return [SENTENCE]


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.create("docs", 4, "cosine")
    store.upsert("docs", list(range(4)), np.eye(4, dtype=np.float32))
    return store


def test_every_change_is_refused_before_it_begins(store: MemoryStore) -> None:
    target = open_target(GuardedMemoryDatabase(store), "docs")
    for change in (cycle.apply, roll_back, resume):
        with pytest.raises(Unauthorised, match=SENTENCE):
            change(target, SETTINGS)
    assert not store.records
    assert cycle.plan(target, SETTINGS).rows.ids == []


def test_what_a_change_writes_is_asked_for(store: MemoryStore) -> None:
    database = GuardedMemoryDatabase(store)
    assert find_missing_rights(open_target(database, "docs")) == [SENTENCE]
    companions = [f"docs__nudge_{name}" for name in ("originals", "history", "revisions")]
    assert database.asked == [("docs", companions)]


def test_a_database_that_does_not_say_is_not_asked(store: MemoryStore) -> None:
    assert find_missing_rights(open_target(MemoryDatabase(store), "docs")) == []
