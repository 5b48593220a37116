"""A collection and its five companions: their names, and what cannot be written safely."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, WriteSettings
from nudge_sync.connector import Record
from nudge_sync.errors import CollectionNotFound, Unreachable, UnsupportedCollection
from nudge_sync.store import retry
from nudge_sync.store.target import (
    Target,
    describe_other_owner,
    find_problems,
    format_companion_name,
    format_prefix,
    open_target,
    refuse_unsupported_collection,
)
from nudge_sync.testing.memory import MemoryCollection, MemoryDatabase
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.operations.clearing import collect
from tests.support.passing_plan import make_passing_plan
from tests.support.unit_vectors import make_unit_rows, perturb_rows

SETTINGS = CollectionSettings()


@pytest.fixture
def database() -> MemoryDatabase:
    database = MemoryDatabase()
    database.store.create("docs_v1", 4, others={"title": 3})
    database.store.upsert("docs_v1", [1, 2], make_unit_rows(2, 4, 0))
    database.store.aliases["docs"] = "docs_v1"
    return database


def test_state_follows_the_vectors_and_feedback_the_name(database: MemoryDatabase) -> None:
    target = open_target(database, "docs")
    assert (target.name, target.facts.name, target.facts.collection) == ("docs", "docs", "docs_v1")
    assert target.prefix == "docs_v1"
    assert target.shadow.collection_name == "docs_v1__nudge_originals"
    assert target.history.collection_name == "docs_v1__nudge_history"
    assert target.ledger_name == target.open_ledger().collection_name == "docs_v1__nudge_revisions"
    target.queries.put([Record("q", {"query_id": "q"}, make_unit_rows(1, 4, 0)[0])])
    assert database.records("docs__nudge_queries", 4).count() == 1


def test_opening_creates_nothing(database: MemoryDatabase) -> None:
    open_target(database, "docs")
    assert database.store.records == {}


def test_an_alias_that_moves_on_leaves_an_open_target_where_it_was(
    database: MemoryDatabase,
) -> None:
    target = open_target(database, "docs")
    database.store.create("docs_v2", 4)
    database.store.aliases["docs"] = "docs_v2"
    assert target.collection.read([1, 2]).ids == [1, 2]
    assert open_target(database, "docs").collection.read([1, 2]).ids == []


def test_each_named_vector_has_companions_of_its_own(database: MemoryDatabase) -> None:
    target = open_target(database, "docs", "title")
    assert target.facts.dimension == 3
    assert target.prefix == "docs_v1__title"


def test_a_name_that_databases_would_refuse_becomes_a_digest() -> None:
    assert format_prefix("docs", "") == "docs"
    assert format_prefix("docs", "title_2") == "docs__title_2"
    prefixes = {format_prefix("docs", name) for name in ("a b", "a/b", "ä", "x" * 41)}
    assert len(prefixes) == 4
    assert all(len(prefix) == len("docs__") + 12 for prefix in prefixes)
    assert format_companion_name("docs", "events") == "docs__nudge_events"


def test_what_is_not_there_is_said(database: MemoryDatabase) -> None:
    with pytest.raises(CollectionNotFound):
        open_target(database, "nothing")
    with pytest.raises(UnsupportedCollection, match="has no vector"):
        open_target(database, "docs", "body")


def test_a_collection_that_cannot_hold_a_small_change_is_refused(
    database: MemoryDatabase,
) -> None:
    facts = open_target(database, "docs").facts
    refuse_unsupported_collection(facts)
    assert find_problems(facts) == []
    coarse = replace(facts, precision="float16", problems=("it is quantised",))
    assert len(find_problems(coarse)) == 2
    with pytest.raises(
        UnsupportedCollection, match=r"quantised; .* as float16.*store it as float32"
    ):
        refuse_unsupported_collection(coarse)


def test_a_server_that_is_not_up_yet_is_waited_for(
    database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StartsLate(MemoryDatabase):
        refusals = 2

        def collection(self, name: str, vector: str = "") -> MemoryCollection:
            if self.refusals:
                self.refusals -= 1
                raise Unreachable
            return super().collection(name, vector)

    monkeypatch.setattr(retry, "DELAYS", (0.0, 0.0))
    assert open_target(StartsLate(database.store), "docs").facts.collection == "docs_v1"
    with pytest.raises(Unreachable):
        open_target(StartsLate(database.store), "docs", patience=0)


@pytest.fixture
def namesakes() -> MemoryDatabase:
    """Return two collections whose companions would have the same names."""
    database = MemoryDatabase()
    database.store.create("docs", 4, others={"title": 4})
    database.store.create("docs__title", 4)
    for name, vector, seed in (("docs", "title", 0), ("docs__title", "", 1)):
        database.store.upsert(name, [1, 2], make_unit_rows(2, 4, seed), vector=vector)
    return database


def move_points(target: Target, seed: int) -> None:
    live = target.collection.read([1, 2])
    vectors = dict(zip(live.ids, perturb_rows(live.vectors, seed), strict=True))
    cycle.apply(target, SETTINGS, make_passing_plan(target, SETTINGS, vectors))


def test_two_that_would_share_their_companions_do_not(namesakes: MemoryDatabase) -> None:
    title = open_target(namesakes, "docs", "title")
    other = open_target(namesakes, "docs__title")
    assert title.ledger_name == other.ledger_name
    originals = title.collection.read([1, 2]).vectors
    untouched = other.collection.read([1, 2]).vectors
    move_points(title, 2)
    assert title.open_ledger().read_entry(1).details.owner == ("docs", "title")

    said = r'belongs to vector "title" of "docs"; collection "docs__title" would.*begin with "docs'
    for change in (
        lambda: move_points(other, 3),
        lambda: roll_back(other, SETTINGS, originals=True),
        lambda: resume(other, SETTINGS),
        lambda: collect(other, WriteSettings()),
    ):
        with pytest.raises(UnsupportedCollection, match=said):
            change()
    assert other.collection.read([1, 2]).vectors.tobytes() == untouched.tobytes()
    assert describe_other_owner(other, other.open_ledger().entries())
    assert describe_other_owner(title, title.open_ledger().entries()) == ""
    assert roll_back(title, SETTINGS, originals=True).identical == 2
    assert title.collection.read([1, 2]).vectors.tobytes() == originals.tobytes()


def test_a_ledger_of_an_older_version_belongs_to_whoever_writes_next(
    namesakes: MemoryDatabase,
) -> None:
    title = open_target(namesakes, "docs", "title")
    other = open_target(namesakes, "docs__title")
    move_points(title, 2)
    unsigned = [
        replace(entry, details=entry.details.update({"owner": None}))
        for entry in title.open_ledger().entries()
    ]
    assert describe_other_owner(other, unsigned) == describe_other_owner(title, unsigned) == ""


def test_a_collection_that_was_renamed_with_its_companions_keeps_them(
    namesakes: MemoryDatabase,
) -> None:
    move_points(open_target(namesakes, "docs__title"), 2)
    store = namesakes.store
    store.collections["renamed"] = store.collections.pop("docs__title")
    for name in list(store.records):
        store.records[name.replace("docs__title", "renamed")] = store.records.pop(name)
    renamed = open_target(namesakes, "renamed")
    assert roll_back(renamed, SETTINGS, originals=True).identical == 2
    assert renamed.open_ledger().entries()[-1].details.owner == ("renamed", "")
