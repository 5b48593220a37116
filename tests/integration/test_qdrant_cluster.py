"""Three Qdrant nodes: copies of originals, and what goes on while a node is down.

QDRANT_BINARY names the server's program.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from qdrant_client.models import Distance, PointStruct, VectorParams
from typer.testing import CliRunner

from nudge_sync import cycle
from nudge_sync.cli.app import app
from nudge_sync.connector import connect
from nudge_sync.errors import Unreachable, UnsupportedCollection
from nudge_sync.store.copies import make_missing_copies, read_copies
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.writing.rollback import roll_back
from tests.support.applications import empty_qdrant
from tests.support.qdrant_server.cluster import QdrantCluster, start_cluster
from tests.support.qdrant_server.replicas import find_differing_points
from tests.support.sample_collection import (
    DIMENSION,
    POINTS,
    SETTINGS,
    SampleCollection,
    make_synthetic_data,
)

SHARDS = 2
COMPANIONS = ("originals", "history", "revisions", "queries", "events", "blocks")


@pytest.fixture(scope="module")
def cluster(qdrant_binary: str) -> Iterator[QdrantCluster]:
    with start_cluster(qdrant_binary) as cluster:
        yield cluster


def fill(cluster: QdrantCluster, copies: int, patience: float = 60.0) -> SampleCollection:
    """Return a sample collection with so many copies, through the cluster's first node."""
    cluster.wait_until_healthy()
    database = connect("qdrant", cluster.nodes[0].section)
    client = database.connection.client
    empty_qdrant(client)
    data = make_synthetic_data()
    client.create_collection(
        "docs",
        VectorParams(size=DIMENSION, distance=Distance.COSINE),
        replication_factor=copies,
        shard_number=SHARDS,
    )
    client.upsert(
        "docs", [PointStruct(id=i, vector=data.vectors[i].tolist()) for i in range(POINTS)]
    )
    sample = SampleCollection("qdrant", database, data, lambda: database, None)
    sample.target = lambda: open_target(database, "docs", patience=patience)
    return sample


@pytest.fixture
def sample(cluster: QdrantCluster) -> Iterator[SampleCollection]:
    sample = fill(cluster, copies=2)
    sample.add_judgements()
    yield sample
    for number, node in enumerate(cluster.nodes):
        if not node.is_running:
            cluster.restart(number)
    cluster.wait_until_healthy()
    sample.database.close()


def find_differing(cluster: QdrantCluster) -> list[str]:
    return [
        point
        for name in cluster.list_collections()
        for point in find_differing_points(cluster, name)
    ]


def is_clean(target: Target) -> bool:
    return bool(verify(target).summary()["clean"])


def test_companions_have_the_copies_of_the_collection(cluster, sample):
    report = cycle.apply(sample.target(), SETTINGS)
    assert report.outcome == "applied"
    copies = read_copies(sample.target()).summary()
    # One more for the vectors of a canary, which is made once there is one.
    assert len(copies) == 2 + len(COMPANIONS)
    for name, replication in copies.items():
        assert replication["factor"] == replication["replicas"] == replication["active"] == 2, name
    assert copies["docs__nudge_originals"]["shards"] == SHARDS
    assert copies["docs__nudge_revisions"]["shards"] == 1
    assert find_differing(cluster) == []


def test_originals_with_fewer_copies_are_noticed_refused_and_mended(cluster, sample, tmp_path):
    client = sample.database.connection.client
    client.delete_collection("docs__nudge_originals")
    client.create_collection(
        "docs__nudge_originals",
        {"vector": VectorParams(size=DIMENSION, distance=Distance.DOT)},
        replication_factor=1,
        shard_number=SHARDS,
    )
    before = sample.read_vectors()
    with pytest.raises(UnsupportedCollection, match=r"docs__nudge_originals.*check --mend"):
        cycle.apply(sample.target(), SETTINGS)
    assert sample.read_vectors().tobytes() == before.tobytes()

    config = tmp_path / "nudge-sync.toml"
    config.write_text(
        f'[database]\nconnector = "qdrant"\nurl = "{cluster.nodes[0].url}"\n[collections.docs]\n'
    )
    result = CliRunner().invoke(app, ["check", "--config", str(config), "--json"])
    assert result.exit_code == 1
    assert "docs__nudge_originals" in json.loads(result.stdout)["problems"][0]
    result = CliRunner().invoke(app, ["check", "--mend", "--config", str(config), "--json"])
    assert result.exit_code == 0, result.output
    checked = json.loads(result.stdout)["collections"]["docs"]
    assert len(checked["mended"]) == SHARDS
    assert checked["copies"]["docs__nudge_originals"]["active"] == 2
    assert cycle.apply(sample.target(), SETTINGS).outcome == "applied"
    assert find_differing(cluster) == []


def test_more_copies_of_the_collection_are_noticed(cluster, sample):
    target = sample.target()
    cycle.apply(target, SETTINGS)
    sample.database.connection.client.update_collection(
        "docs", collection_params={"replication_factor": 3}
    )
    cluster.restore_replicas("docs")
    assert len(read_copies(target).find_problems()) == 3
    assert len(make_missing_copies(target)) >= len(COMPANIONS)
    assert read_copies(target).find_problems() == read_copies(target).list_notes() == []
    assert find_differing(cluster) == []
    assert is_clean(target)


@pytest.mark.parametrize("dead", [1, 2])
def test_a_cycle_and_a_rollback_complete_while_a_node_is_dead(cluster, sample, dead):
    before = sample.read_vectors()
    cluster.kill(dead)
    assert cycle.apply(sample.target(), SETTINGS).outcome == "applied"
    assert is_clean(sample.target())
    moved = sample.read_vectors()
    assert (moved != before).any()
    cluster.restart(dead)
    cluster.wait_until_healthy()
    assert sample.read_vectors().tobytes() == moved.tobytes()
    assert find_differing(cluster) == []
    cluster.kill(dead)
    roll_back(sample.target(), SETTINGS)
    assert sample.read_vectors().tobytes() == before.tobytes()
    cluster.restart(dead)
    cluster.wait_until_healthy()
    assert find_differing(cluster) == []
    assert is_clean(sample.target())


def test_the_first_cycle_completes_while_a_node_is_dead(cluster, sample):
    """The companions themselves are made meanwhile."""
    cluster.kill(2)
    assert cycle.apply(sample.target(), SETTINGS).outcome == "applied"


def test_a_node_that_is_left_alone_decides_nothing(cluster, sample):
    cycle.apply(sample.target(), SETTINGS)
    before = sample.read_vectors()
    cluster.kill(1)
    cluster.kill(2)
    # Where both copies of a shard are on the dead nodes, opening ends it already.
    with pytest.raises(Unreachable):
        roll_back(open_target(sample.database, "docs", patience=0.5), SETTINGS)
    cluster.restart(1)
    cluster.restart(2)
    cluster.wait_until_healthy()
    assert sample.read_vectors().tobytes() == before.tobytes()
    assert find_differing(cluster) == []
    assert is_clean(sample.target())


@pytest.mark.parametrize("prefer_grpc", [False, True], ids=["rest", "grpc"])
def test_a_dead_node_without_a_second_copy_is_named_and_waited_for(cluster, prefer_grpc):
    sample = fill(cluster, copies=1)
    sample.database.close()
    database = connect("qdrant", cluster.nodes[0].section | {"prefer_grpc": prefer_grpc})
    places = cluster.fetch_replicas("docs")
    dead = next(
        number
        for number in (1, 2)
        if any(cluster.peer_ids[number] in states for states in places.values())
    )
    cluster.kill(dead)
    try:
        with pytest.raises(Unreachable) as caught:
            open_target(database, "docs", patience=1.0)
        assert str(cluster.nodes[dead].p2p_port) in str(caught.value)
    finally:
        cluster.restart(dead)
    target = open_target(database, "docs", patience=120.0)
    assert np.isfinite(target.collection.read(list(range(POINTS))).vectors).all()
    database.close()
    cluster.wait_until_healthy()
