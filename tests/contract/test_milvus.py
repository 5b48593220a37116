"""Milvus servers and Milvus Lite, through raw pymilvus."""

from __future__ import annotations

import pytest

pytest.importorskip("pymilvus")

from pymilvus import MilvusClient

from nudge_sync.connector import connect
from nudge_sync.testing.conformance import CollectionConformance, Engine, RecordsConformance
from tests.support.docker_engine import is_docker_running
from tests.support.milvus_backdoor import MilvusBackdoor

ALIAS = "nudge_kit_alias"
SERVER = pytest.param("server", marks=pytest.mark.milvus_server)
NEWEST = "milvusdb/milvus:v2.6.9"


@pytest.fixture(scope="module")
def container_uri():
    """A Milvus of a pinned recent version, where a Docker engine answers."""
    if not is_docker_running():
        pytest.skip("no Docker engine answers")
    from testcontainers.community.milvus import MilvusContainer  # noqa: PLC0415

    with MilvusContainer(NEWEST) as container:
        yield f"http://{container.get_container_host_ip()}:{container.get_exposed_port(19530)}"


@pytest.fixture(params=["lite", SERVER, "container"])
def uri(request):
    """Each Milvus there is."""
    names = {
        "lite": "milvus_lite_path",
        "server": "milvus_server_uri",
        "container": "container_uri",
    }
    return request.getfixturevalue(names[request.param])


@pytest.fixture
def engine(uri):
    # Opened first: a Milvus Lite server that was there before the connector stays after it.
    client = MilvusClient(uri, dedicated=True)
    one_vector = client.get_server_version().startswith("v2.3")
    backdoor = MilvusBackdoor(client, second_vector="" if one_vector else "other")

    def opened():
        return connect("milvus", {"uri": uri})

    def reopen():
        engine.database.close()
        return opened()

    engine = Engine(opened(), backdoor, reopen, "vector", foreign_ids=["7", "x", 2**63, -(2**70)])
    engine.alias = backdoor.alias
    yield engine
    backdoor.drop_alias(ALIAS)
    engine.database.close()
    client.close()


class TestCollection(CollectionConformance):
    @pytest.fixture
    def engine(self, engine):
        return engine


class TestRecords(RecordsConformance):
    @pytest.fixture
    def engine(self, engine):
        return engine
