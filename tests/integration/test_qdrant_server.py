"""A Qdrant server that asks for certificates, keys and tokens, over REST and over gRPC."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, WriteSettings
from nudge_sync.connector import Database, connect
from nudge_sync.errors import Unauthorised, Unreachable
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from nudge_sync_qdrant import ingest
from tests.support.applications import empty_qdrant
from tests.support.operations.clearing import sweep
from tests.support.passing_plan import make_passing_plan
from tests.support.qdrant_server.certificates import Certificates, make_certificates
from tests.support.qdrant_server.node import QdrantNode, ServerOptions, start_qdrant
from tests.support.qdrant_server.tokens import make_token
from tests.support.unit_vectors import make_unit_rows, perturb_rows

API_KEY, READ_ONLY_KEY = "a key of the tests", "a key to read with"
POINTS = 20
SETTINGS = CollectionSettings(write=WriteSettings(batch_size=8))
VECTORS = make_unit_rows(POINTS, 8, 0)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def node(qdrant_binary: str, certificates: Certificates) -> Iterator[QdrantNode]:
    options = ServerOptions(API_KEY, READ_ONLY_KEY, tokens=True, certificates=certificates)
    with start_qdrant(qdrant_binary, options) as node:
        yield node


@pytest.fixture(params=[False, True], ids=["rest", "grpc"])
def section(node: QdrantNode, request: pytest.FixtureRequest) -> dict[str, Any]:
    return node.section | {"prefer_grpc": request.param}


def open_database(section: dict[str, Any], key: str, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("QDRANT_API_KEY", key)
    return connect("qdrant", section)


def fill(database: Any) -> None:
    empty_qdrant(database.connection.client)
    ingest(database, "docs", range(POINTS), VECTORS)


def move_everything(database: Database, seed: int) -> None:
    target = open_target(database, "docs")
    stored = target.collection.read(range(POINTS)).vectors
    new_vectors = dict(enumerate(perturb_rows(stored, seed)))
    report = cycle.apply(target, SETTINGS, make_passing_plan(target, SETTINGS, new_vectors))
    assert report.written == POINTS


def test_a_certificate_of_an_authority_made_for_the_test(certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=certificates.authority)
    assert [each["subject"] for each in context.get_ca_certs()] == [
        ((("commonName", "nudge-sync test authority"),),)
    ]
    context.load_cert_chain(certificates.certificate, certificates.key)


def test_a_change_and_its_way_back(
    section: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    database: Any = open_database(section, API_KEY, monkeypatch)
    fill(database)
    target = open_target(database, "docs")
    stored = target.collection.read(range(POINTS)).vectors
    move_everything(database, seed=1)
    assert (target.collection.read(range(POINTS)).vectors != stored).any(axis=1).all()
    roll_back(target, SETTINGS, originals=True)
    assert target.collection.read(range(POINTS)).vectors.tobytes() == stored.tobytes()
    assert verify(target).is_clean
    database.close()


def test_a_wrong_key_and_a_key_to_read_with(
    section: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database(section, "another key", monkeypatch)
    with pytest.raises(Unauthorised) as refused:
        database.describe()
    assert "another key" not in str(refused.value)
    database.close()
    database = open_database(section, READ_ONLY_KEY, monkeypatch)
    assert database.describe().version
    with pytest.raises(Unauthorised):
        database.records("docs__nudge_revisions").drop()
    database.close()


def grant(user: str, own: str) -> dict[str, str]:
    """Return rights to the collection, and to the sidecar's own."""
    names = ("originals", "history", "revisions", "queries", "events", "candidate", "blocks")
    return {"docs": user, **{f"docs__nudge_{name}": own for name in names}}


@pytest.mark.parametrize(
    ("rights", "sentence"),
    [
        ("r", 'may read "docs" but not write'),
        (grant("r", "prw"), 'may read "docs" but not write'),
        (grant("prw", "r"), 'may read "docs__nudge_originals" but not write'),
        ({"docs": "prw"}, 'may not read "docs__nudge_originals"'),
    ],
    ids=["read-only", "collection", "companions", "collection alone"],
)
def test_a_missing_right_is_said_before_anything_is_written(
    section: dict[str, Any], monkeypatch: pytest.MonkeyPatch, rights: Any, sentence: str
) -> None:
    database: Any = open_database(section, API_KEY, monkeypatch)
    fill(database)
    move_everything(database, seed=1)
    before = open_target(database, "docs").collection.read(range(POINTS)).vectors.tobytes()
    restricted = open_database(section, make_token(API_KEY, rights), monkeypatch)
    target = open_target(restricted, "docs")
    for change in (cycle.apply, roll_back, resume):
        with pytest.raises(Unauthorised, match=sentence):
            change(target, SETTINGS)
    target = open_target(database, "docs")
    assert target.collection.read(range(POINTS)).vectors.tobytes() == before
    assert [entry.state for entry in target.open_ledger().entries()] == ["applied"]
    restricted.close()
    database.close()


def test_a_token_that_may_make_nothing_until_the_collections_are_there(
    section: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    database: Any = open_database(section, API_KEY, monkeypatch)
    fill(database)
    restricted = open_database(section, make_token(API_KEY, grant("prw", "prw")), monkeypatch)
    with pytest.raises(Unauthorised, match="not there yet, and the key may not make collections"):
        cycle.apply(open_target(restricted, "docs"), SETTINGS)
    assert [each.name for each in database.connection.client.get_collections().collections] == [
        "docs"
    ]
    move_everything(database, seed=1)
    move_everything(restricted, seed=2)
    target = open_target(restricted, "docs")
    sweep(target)
    roll_back(target, SETTINGS, originals=True)
    assert verify(target).is_clean
    restricted.close()
    database.close()


def test_a_certificate_that_nobody_vouches_for(
    node: QdrantNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", API_KEY)
    section = {key: value for key, value in node.section.items() if key != "ca_certificate"}
    for prefer_grpc in (False, True):
        database = connect("qdrant", section | {"prefer_grpc": prefer_grpc, "timeout": 5})
        with pytest.raises(Unreachable):
            database.describe()
        database.close()
