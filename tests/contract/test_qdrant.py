"""The Qdrant connector on a server: QDRANT_URL, or a container where a Docker engine answers."""

from __future__ import annotations

import importlib
import os

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
VARIANTS = {"rest": {}, "grpc": {"prefer_grpc": True}, "marked": {"payload_mark": "_nudge"}}


@pytest.fixture(scope="session")
def server():
    """url and gRPC port of a server."""
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


def server_engine(section, vector="") -> Engine:
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
    return engine


def closed(engine: Engine) -> None:
    for kind in ("cosine_integer", "dot_integer", "euclid_string"):
        engine.backdoor.drop(f"nudge_kit_{kind}")
    engine.backdoor.client.close()
    engine.database.close()


class TestCollection(CollectionConformance):
    @pytest.fixture(scope="class", params=["", "title"], ids=["default", "named"])
    def vector(self, request):
        return request.param

    @pytest.fixture(scope="class", params=VARIANTS)
    def engine(self, server, vector, request):
        engine = server_engine(server | VARIANTS[request.param], vector)
        yield engine
        closed(engine)


class TestRecords(RecordsConformance):
    @pytest.fixture(scope="class", params=["rest", "grpc"])
    def engine(self, server, request):
        engine = server_engine(server | VARIANTS[request.param])
        yield engine
        closed(engine)
