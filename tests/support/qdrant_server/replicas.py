"""What each node of a cluster itself holds of a collection, compared with its neighbours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.support.qdrant_server.cluster import QdrantCluster
from tests.support.qdrant_server.node import QdrantNode

_PAGE = 500


def find_differing_points(cluster: QdrantCluster, name: str) -> list[str]:
    """Return the points of which two replicas do not hold the same bits, each with its shard.

    Each node is asked for its own shards, which it answers without asking its neighbours. Numbers
    are compared as JSON text, in which two float32 are equal only if their bits are.
    """
    replicas_by_shard: dict[int, list[dict[Any, str]]] = {}
    for node in cluster.nodes:
        info = node.request("GET", f"/collections/{name}/cluster")
        for shard in (int(each["shard_id"]) for each in info["local_shards"]):
            held = dict(_read_local_shard(node, name, shard))
            replicas_by_shard.setdefault(shard, []).append(held)
    return [
        f"{name} shard {shard} point {point}"
        for shard, replicas in sorted(replicas_by_shard.items())
        for point in sorted(set().union(*replicas), key=str)
        if len({replica.get(point) for replica in replicas}) > 1
    ]


def _read_local_shard(node: QdrantNode, name: str, shard: int) -> Iterator[tuple[Any, str]]:
    body: dict[str, Any] = {"limit": _PAGE, "with_payload": True, "with_vector": True}
    while True:
        page = node.request("POST", f"/collections/{name}/shards/{shard}/points/scroll", body)
        for point in page["points"]:
            yield point["id"], json.dumps(point, sort_keys=True)
        if page["next_page_offset"] is None:
            return
        body["offset"] = page["next_page_offset"]
