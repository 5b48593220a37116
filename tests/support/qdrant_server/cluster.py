"""Three Qdrant servers as one cluster, of which nodes die, come back, and are replaced."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import httpx

from tests.support.qdrant_server.node import QdrantNode, ServerOptions
from tests.support.ram_disk import ram_folder

NODES = 3
WAIT_SECONDS = 240
"""How long a cluster may take to agree, or to copy what a node missed."""
_Answer = TypeVar("_Answer")


class QdrantCluster:
    """Nodes that know each other; each holds a part of every collection."""

    def __init__(self, binary: str, folder: Path, options: ServerOptions | None = None) -> None:
        options = options or ServerOptions()
        environment = {**options.environment, "QDRANT__CLUSTER__ENABLED": "true"}
        self._options = replace(options, environment=environment)
        self._binary = binary
        self._folder = folder
        self._made = 0
        self.nodes = [self._make_node() for _ in range(NODES)]
        self.peer_ids: list[int] = []
        """The number of each node in the cluster."""

    def _make_node(self) -> QdrantNode:
        self._made += 1
        return QdrantNode(self._binary, self._folder / f"node-{self._made}", self._options)

    def start(self) -> None:
        """Start all nodes, and return when they agree on who is there."""
        first, *others = self.nodes
        self._start_node(first, None)
        for node in others:
            self._start_node(node, first)
        self.peer_ids = [_fetch_peer_id(node) for node in self.nodes]
        self.wait_until_healthy()

    def _start_node(self, node: QdrantNode, known: QdrantNode | None) -> None:
        own = ("--uri", f"http://127.0.0.1:{node.p2p_port}")
        bootstrap = ("--bootstrap", f"http://127.0.0.1:{known.p2p_port}") if known else ()
        node.arguments = (*own, *bootstrap)
        node.start()
        node.wait_until_answering()
        _wait_for(lambda: _fetch_peer_id(node), f"{node.url} knows no cluster")

    def find_living_node(self) -> QdrantNode:
        """Return the first node that runs."""
        return next(node for node in self.nodes if node.is_running)

    def kill(self, number: int) -> None:
        """End a node as a power failure would."""
        self.nodes[number].kill()

    def restart(self, number: int) -> None:
        """Start a node again over what it had on its disk."""
        self._start_node(self.nodes[number], self.find_living_node())

    def replace(self, number: int) -> None:
        """Put an empty node in the place of a dead one, as an operator does.

        The dead one is taken from the cluster, and the shards of which it held a replica are
        copied to the new one: Qdrant does not do that by itself.
        """
        self.kill(number)
        living = self.find_living_node()
        remove = f"/cluster/peer/{self.peer_ids[number]}?force=true"
        _wait_for(lambda: living.request("DELETE", remove), "the dead node is not let go")
        self.nodes[number] = node = self._make_node()
        self._start_node(node, living)
        self.peer_ids[number] = _fetch_peer_id(node)
        self.wait_until_healthy()
        for name in self.list_collections():
            self.restore_replicas(name)
        self.wait_until_healthy()

    def restore_replicas(self, name: str) -> None:
        """Copy each shard that has too few replicas to a node that has none of it."""
        living = self.find_living_node()
        params = living.request("GET", f"/collections/{name}")["config"]["params"]
        for shard, states in self.fetch_replicas(name).items():
            spare = [peer for peer in self.peer_ids if peer not in states]
            for peer in spare[: params["replication_factor"] - len(states)]:
                self._copy_shard(name, shard, next(iter(states)), peer)

    def _copy_shard(self, name: str, shard: int, source: int, target: int) -> None:
        order = {"shard_id": shard, "from_peer_id": source, "to_peer_id": target}
        path = f"/collections/{name}/cluster"
        living = self.find_living_node()
        body = {"replicate_shard": order}
        _wait_for(lambda: living.request("POST", path, body), f"shard {shard} is not copied")
        _wait_for(
            lambda: self.fetch_replicas(name)[shard].get(target) == "Active",
            f"shard {shard} of {name} does not come to node {target}",
        )

    def list_collections(self) -> list[str]:
        """Return the names of all collections."""
        listed = self.find_living_node().request("GET", "/collections")["collections"]
        return sorted(each["name"] for each in listed)

    def fetch_replicas(
        self, name: str, node: QdrantNode | None = None
    ) -> dict[int, dict[int, str]]:
        """Return the state of each replica: by shard, then by peer, as one node sees it."""
        info = (node or self.find_living_node()).request("GET", f"/collections/{name}/cluster")
        states: dict[int, dict[int, str]] = {}
        for each in info["local_shards"]:
            states.setdefault(each["shard_id"], {})[info["peer_id"]] = each["state"]
        for each in info["remote_shards"]:
            states.setdefault(each["shard_id"], {})[each["peer_id"]] = each["state"]
        return states

    def wait_until_healthy(self) -> None:
        """Return when all nodes agree and every replica is active on each of them."""
        _wait_for(self._is_healthy, "the cluster does not come to rest")

    def _is_healthy(self) -> bool:
        for node in self.nodes:
            status = node.request("GET", "/cluster")
            peers = {int(peer) for peer in status["peers"]}
            if status["raft_info"]["pending_operations"] or peers != set(self.peer_ids):
                return False
            for name in self.list_collections():
                info = node.request("GET", f"/collections/{name}/cluster")
                states = self.fetch_replicas(name, node)
                if info["shard_transfers"] or any(
                    state != "Active" for peers in states.values() for state in peers.values()
                ):
                    return False
        return True

    def kill_all(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.kill()


@contextmanager
def start_cluster(binary: str, options: ServerOptions | None = None) -> Iterator[QdrantCluster]:
    """Yield a fresh cluster at rest; all its nodes end with the block, however that ends."""
    with ram_folder() as folder:
        cluster = QdrantCluster(binary, folder, options)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.kill_all()


def _fetch_peer_id(node: QdrantNode) -> int:
    status = node.request("GET", "/cluster")
    if not status["raft_info"]["leader"]:
        raise httpx.HTTPError("no leader yet")
    return int(status["peer_id"])


def _wait_for(ask: Callable[[], _Answer], complaint: str) -> _Answer:
    """Return the first true answer. Raises TimeoutError."""
    deadline = time.monotonic() + WAIT_SECONDS
    reason: object = "no"
    while time.monotonic() < deadline:
        try:
            answer = ask()
        except httpx.HTTPError as error:
            reason = error
        else:
            if answer:
                return answer
        time.sleep(0.2)
    raise TimeoutError(f"{complaint} ({reason})")
