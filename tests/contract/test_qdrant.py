"""The Qdrant connector on a server: see `find_or_start_qdrant` for which."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

pytest.importorskip("qdrant_client")

from nudge_sync.connector import connect
from nudge_sync.testing.conformance import CollectionConformance, Engine, RecordsConformance
from tests.support.qdrant_backdoor import QdrantBackdoor
from tests.support.qdrant_server.address import has_qdrant, open_client

if not has_qdrant():
    pytest.skip("neither QDRANT_URL nor QDRANT_BINARY nor Docker", allow_module_level=True)

# Ways to talk to the same server, as further keys of the `[database]` table.
VARIANTS = {"rest": {}, "grpc": {"prefer_grpc": True}, "marked": {"payload_mark": "_nudge"}}


@contextmanager
def open_engine(section, vector=""):
    client = open_client(section)
    backdoor = QdrantBackdoor(client, vector)

    def reopen():
        engine.database.close()
        return connect("qdrant", section)

    engine = Engine(
        connect("qdrant", section),
        backdoor,
        reopen,
        vector,
        foreign_ids=["7", "x", -1, 2**64, "../x"],
        alias=backdoor.alias,
    )
    try:
        yield engine
        for kind in ("cosine_integer", "dot_integer", "euclid_string"):
            backdoor.drop(f"nudge_kit_{kind}")
    finally:
        client.close()
        engine.database.close()


# One engine for many tests, since a server takes long to make a collection. Outside the classes:
# pytest 9.2 refuses fixtures of a class's scope that are methods.


@pytest.fixture(scope="module", params=["", "title"], ids=["default", "named"])
def vector(request):
    return request.param


@pytest.fixture(scope="module", params=VARIANTS)
def collection_engine(qdrant_server, vector, request):
    with open_engine(qdrant_server | VARIANTS[request.param], vector) as engine:
        yield engine


@pytest.fixture(scope="module", params=["rest", "grpc"])
def records_engine(qdrant_server, request):
    with open_engine(qdrant_server | VARIANTS[request.param]) as engine:
        yield engine


class TestCollection(CollectionConformance):
    @pytest.fixture
    def engine(self, collection_engine):
        return collection_engine


class TestRecords(RecordsConformance):
    @pytest.fixture
    def engine(self, records_engine):
        return records_engine
