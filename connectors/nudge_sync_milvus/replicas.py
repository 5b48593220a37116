"""How many copies of a collection Milvus has loaded, and in which resource groups.

What is stored has no copies here: it lies in the object storage and the log that all of Milvus
shares. Copies are of what query nodes hold in memory, and keep a collection readable while a node
is down.
"""

from __future__ import annotations

from dataclasses import dataclass

from pymilvus.grpc_gen import milvus_pb2

from nudge_sync.connector import Replication
from nudge_sync.errors import CollectionNotFound, DatabaseError, Unauthorised, UnsupportedCollection
from nudge_sync_milvus.client import Connection
from nudge_sync_milvus.settings import MilvusSettings

_DEFAULT_GROUP = "__default_resource_group"
"""The resource group of nodes that were put into no other."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a collection is loaded."""

    replica_number: int = 1
    resource_groups: tuple[str, ...] = ()
    """One for all copies, or one for each; none: Milvus's default."""


def choose_load_options(
    connection: Connection, settings: MilvusSettings, beside: str
) -> LoadOptions:
    """Return how a collection of records is loaded: by the settings, or else as `beside` is.

    beside: a collection; "" for none. One that is not loaded says nothing.
    """
    like = (read_load_options(connection, beside) if beside else None) or LoadOptions()
    number = settings.replica_number or like.replica_number
    groups = tuple(settings.resource_groups) or like.resource_groups
    return LoadOptions(number, groups if len(groups) in {1, number} else ())


def read_load_options(connection: Connection, name: str) -> LoadOptions | None:
    """Return how a collection is loaded now; None where it is not, or does not exist."""
    replicas = [] if connection.is_lite else _read_replicas(connection, name)
    if not replicas:
        return None
    groups = [str(replica.resource_group_name) for replica in replicas]
    named = tuple(group for group in groups if group not in {"", _DEFAULT_GROUP})
    if len(named) < len(groups):
        named = ()
    return LoadOptions(len(replicas), named[:1] if len(set(named)) == 1 else named)


def read_replication(connection: Connection, name: str) -> Replication | None:
    """Return the copies of a collection in memory; None where it is not loaded or not there."""
    if connection.is_lite:
        return None
    replicas = _read_replicas(connection, name)
    if not replicas:
        return None
    active = sum(1 for replica in replicas if replica.node_ids)
    return Replication(factor=len(replicas), replicas=len(replicas), active=active)


def plan_replication(
    connection: Connection, settings: MilvusSettings, beside: str
) -> Replication | None:
    """Return the copies that a collection of records gets if it is loaded beside `beside`."""
    if read_replication(connection, beside) is None:
        return None
    number = choose_load_options(connection, settings, beside).replica_number
    return Replication(factor=number, replicas=number, active=number)


def replicate(
    connection: Connection, name: str, wanted: Replication, groups: tuple[str, ...]
) -> list[str]:
    """Begin to load a collection in as many copies as `wanted` has.

    Older servers change the number only of a collection that is not loaded: it is released first,
    and cannot be read for the seconds that this takes. Returns [] once all copies are loaded.
    Raises UnsupportedCollection where Milvus has too few query nodes.
    """
    current = read_replication(connection, name)
    if current is not None and current.active >= wanted.factor:
        return []
    if current is None or current.factor < wanted.factor:
        options = LoadOptions(wanted.factor, groups if len(groups) in {1, wanted.factor} else ())
        _load_anew(connection, name, options)
    return [f'"{name}" is loaded in {wanted.factor} copies']


def build_load_request(name: str, options: LoadOptions) -> milvus_pb2.LoadCollectionRequest:
    """Return the request that loads a collection."""
    return milvus_pb2.LoadCollectionRequest(
        collection_name=name,
        replica_number=options.replica_number,
        resource_groups=list(options.resource_groups),
    )


def _load_anew(connection: Connection, name: str, options: LoadOptions) -> None:
    before = read_load_options(connection, name)
    try:
        connection.call("LoadCollection", build_load_request(name, options))
    except DatabaseError as error:
        if error.transient or before is None:
            raise
    else:
        return
    request = milvus_pb2.ReleaseCollectionRequest(collection_name=name)
    connection.call("ReleaseCollection", request)
    try:
        connection.call("LoadCollection", build_load_request(name, options))
    except DatabaseError as error:
        connection.call("LoadCollection", build_load_request(name, before))
        raise UnsupportedCollection(
            f'"{name}" cannot be loaded in {options.replica_number} copies; it is loaded in '
            f"{before.replica_number} again: {error}"
        ) from error


def _read_replicas(connection: Connection, name: str) -> list[milvus_pb2.ReplicaInfo]:
    described = milvus_pb2.DescribeCollectionRequest(collection_name=name)
    try:
        # By its number: older servers know of no name here.
        number = connection.call("DescribeCollection", described).collectionID
        request = milvus_pb2.GetReplicasRequest(collectionID=number)
        return list(connection.call("GetReplicas", request).replicas)
    except (CollectionNotFound, Unauthorised):
        return []
    except DatabaseError as error:
        if error.transient:
            raise
        return []  # Not loaded, in the words of some server.
