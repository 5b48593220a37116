"""The Qdrant connector on a server: QDRANT_URL, or a container where a Docker engine answers."""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager

import pytest

pytest.importorskip("qdrant_client")

from qdrant_client import QdrantClient

from nudge_sync.connector import connect
from nudge_sync.testing.conformance import CollectionConformance, Engine, RecordsConformance
from tests.support.docker_engine import is_docker_running
from tests.support.qdrant_backdoor import QdrantBackdoor

if not os.environ.get("QDRANT_URL") and not is_docker_running():
    pytest.skip("QDRANT_URL is not set, and no Docker engine answers", allow_module_level=True)

IMAGE = os.environ.get("QDRANT_IMAGE", "qdrant/qdrant:v1.20.0")
# Ways to talk to the same server, as further keys of the `[database]` table.
VARIANTS = {"rest": {}, "grpc": {"prefer_grpc": True}, "marked": {"payload_mark": "_nudge"}}


@pytest.fixture(scope="session")
def server():
    """The address of a server, as keys of the `[database]` table."""
    if url := os.environ.get("QDRANT_URL"):
        yield {"url": url, "grpc_port": int(os.environ.get("QDRANT_GRPC_PORT", "6334"))}
        return
    with _container() as container:
        yield {
            "url": f"http://{container.rest_host_address}",
            "grpc_port": int(container.grpc_host_address.rsplit(":", 1)[1]),
        }


def _container():
    # Not at the top: it looks for a Docker engine as soon as it is made.
    qdrant = importlib.import_module("testcontainers.community.qdrant")
    return qdrant.QdrantContainer(IMAGE)


@contextmanager
def open_engine(section, vector=""):
    client = QdrantClient(
        url=section["url"],
        api_key=os.environ.get("QDRANT_API_KEY"),
        check_compatibility=False,
        timeout=60,
    )
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
def collection_engine(server, vector, request):
    with open_engine(server | VARIANTS[request.param], vector) as engine:
        yield engine


@pytest.fixture(scope="module", params=["rest", "grpc"])
def records_engine(server, request):
    with open_engine(server | VARIANTS[request.param]) as engine:
        yield engine


class TestCollection(CollectionConformance):
    @pytest.fixture
    def engine(self, collection_engine):
        return collection_engine


class TestRecords(RecordsConformance):
    @pytest.fixture
    def engine(self, records_engine):
        return records_engine
