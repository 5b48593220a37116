"""How many copies a cluster keeps of a collection, and how to get more of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from qdrant_client.models import (
    CollectionParams,
    CollectionParamsDiff,
    ReplicaState,
    ReplicateShard,
    ReplicateShardOperation,
)

from nudge_sync.connector import Replication
from nudge_sync.errors import CollectionNotFound, Unauthorised, UnsupportedCollection
from nudge_sync_qdrant.client import Connection
from nudge_sync_qdrant.peers import Peers

_COMPLETE_STATES = frozenset({ReplicaState.ACTIVE, ReplicaState.ACTIVEREAD})
"""States of a copy that holds every write that was acknowledged."""


@dataclass(frozen=True, slots=True)
class ShardPlacement:
    """Where the copies of a collection's shards are, by the cluster's consensus."""

    states_by_shard: dict[int, dict[int, ReplicaState]]
    """Shard, peer, and the state of the copy there."""
    transfers: frozenset[tuple[int, int]] = field(default_factory=frozenset)
    """Shard and peer of each copy that is being made."""

    @property
    def fewest_replicas(self) -> int:
        """Copies, in any state, of the shard that has the fewest."""
        return min((len(states) for states in self.states_by_shard.values()), default=0)

    @property
    def fewest_active(self) -> int:
        """Complete copies of the shard that has the fewest."""
        return min(
            (
                sum(state in _COMPLETE_STATES for state in states.values())
                for states in self.states_by_shard.values()
            ),
            default=0,
        )

    def relies_on(self, peer: int) -> bool:
        """Return whether consensus takes a copy on this node for complete that has a second one."""
        return any(
            states.get(peer) in _COMPLETE_STATES
            for states in self.states_by_shard.values()
            if len(states) > 1
        )


def read_placement(connection: Connection, name: str) -> ShardPlacement:
    """Return where the copies of a collection are. Raises CollectionNotFound, Unauthorised."""
    with connection.translate_errors(f'"{name}"'):
        info = connection.client.collection_cluster_info(name)
    states_by_shard: dict[int, dict[int, ReplicaState]] = defaultdict(dict)
    for local in info.local_shards:
        states_by_shard[local.shard_id][info.peer_id] = local.state
    for remote in info.remote_shards:
        states_by_shard[remote.shard_id][remote.peer_id] = remote.state
    transfers = frozenset((each.shard_id, each.to) for each in info.shard_transfers)
    return ShardPlacement(dict(states_by_shard), transfers)


def read_replication(connection: Connection, name: str) -> Replication | None:
    """Return the copies of a collection; None where it does not exist, or there is no cluster."""
    if not connection.is_cluster:
        return None
    try:
        params = _read_params(connection, name)
        placement = read_placement(connection, name)
    except (CollectionNotFound, Unauthorised):
        return None
    return Replication(
        factor=params.replication_factor or 1,
        replicas=placement.fewest_replicas,
        active=placement.fewest_active,
        write_consistency=params.write_consistency_factor or 1,
        shards=params.shard_number or 1,
    )


def plan_replication(connection: Connection, beside: str) -> Replication | None:
    """Return the copies that a collection of records gets if it is made beside `beside`."""
    like = read_replication(connection, beside)
    if like is None:
        return None
    settings = connection.settings
    factor = settings.replication_factor or max(like.factor, like.replicas)
    peers = connection.read_peers()
    copies = min(factor, len(peers.addresses)) if peers else factor
    return replace(
        like,
        factor=factor,
        replicas=copies,
        active=copies,
        write_consistency=settings.write_consistency_factor or like.write_consistency,
        shards=settings.shard_number or like.shards,
    )


@dataclass(frozen=True, slots=True)
class CreationOptions:
    """Arguments of `create_collection`; None: the cluster's own default."""

    replication_factor: int | None = None
    write_consistency_factor: int | None = None
    shard_number: int | None = None


def choose_creation_options(
    connection: Connection, beside: str, *, is_small: bool
) -> CreationOptions:
    """Return how a collection of records is made: by the settings, or else as `beside` is.

    beside: a collection; "" for none, where the settings alone count.
    is_small: whether one shard is enough.
    """
    settings, like = connection.settings, CreationOptions()
    if beside and not connection.is_local:
        params = _read_params(connection, beside)
        like = CreationOptions(
            params.replication_factor, params.write_consistency_factor, params.shard_number
        )
    return CreationOptions(
        settings.replication_factor or like.replication_factor,
        settings.write_consistency_factor or like.write_consistency_factor,
        1 if is_small else settings.shard_number or like.shard_number,
    )


def replicate(connection: Connection, name: str, wanted: Replication) -> list[str]:
    """Raise the settings of a collection to `wanted`, and begin to copy shards that have too few.

    The settings alone make no copy of a shard that is there: each is copied to a named node.
    Returns a sentence for each copy that is being made, and [] once all are complete.
    Raises UnsupportedCollection where the cluster has too few nodes.
    """
    _raise_settings(connection, name, wanted)
    placement, peers = read_placement(connection, name), connection.read_peers() or Peers()
    if wanted.factor > len(peers.addresses):
        raise UnsupportedCollection(
            f'"{name}" cannot have {wanted.factor} copies: the cluster has '
            f"{len(peers.addresses)} nodes"
        )
    for copy in _choose_copies(placement, peers, wanted.factor):
        operation = ReplicateShardOperation(replicate_shard=copy)
        with connection.translate_errors(f'"{name}"'):
            connection.client.cluster_collection_update(name, operation)
    return list(_describe_unfinished(connection, name, wanted.factor))


def _read_params(connection: Connection, name: str) -> CollectionParams:
    with connection.translate_errors(f'"{name}"'):
        return connection.client.get_collection(name).config.params


def _raise_settings(connection: Connection, name: str, wanted: Replication) -> None:
    params = _read_params(connection, name)
    factor, consistency = params.replication_factor or 1, params.write_consistency_factor or 1
    if factor >= wanted.factor and consistency >= wanted.write_consistency:
        return
    raised = CollectionParamsDiff(
        replication_factor=max(factor, wanted.factor),
        write_consistency_factor=max(consistency, wanted.write_consistency),
    )
    with connection.translate_errors(f'"{name}"'):
        connection.client.update_collection(name, collection_params=raised)


def _choose_copies(
    placement: ShardPlacement, peers: Peers, factor: int
) -> Iterator[ReplicateShard]:
    """Yield the copies to begin: each on the answering node that has the fewest so far."""
    load = Counter(peer for states in placement.states_by_shard.values() for peer in states)
    for shard, states in sorted(placement.states_by_shard.items()):
        sources = [peer for peer, state in states.items() if state in _COMPLETE_STATES]
        candidates = [
            peer
            for peer in peers.answering
            if peer not in states and (shard, peer) not in placement.transfers
        ]
        begun = sum(transfer_shard == shard for transfer_shard, _ in placement.transfers)
        missing = factor - len(states) - begun
        for _ in range(min(missing, len(candidates)) if sources else 0):
            chosen = min(candidates, key=lambda peer: (load[peer], peer))
            candidates.remove(chosen)
            load[chosen] += 1
            yield ReplicateShard(shard_id=shard, from_peer_id=sources[0], to_peer_id=chosen)


def _describe_unfinished(connection: Connection, name: str, factor: int) -> Iterator[str]:
    addresses = (connection.read_peers() or Peers()).addresses
    placement = read_placement(connection, name)
    for shard, states in sorted(placement.states_by_shard.items()):
        complete = sum(state in _COMPLETE_STATES for state in states.values())
        if complete >= factor:
            continue
        on_the_way = [peer for peer, state in states.items() if state not in _COMPLETE_STATES]
        nodes = ", ".join(addresses.get(peer, str(peer)) for peer in on_the_way) or "no node yet"
        yield f'"{name}": shard {shard} is copied to {nodes}'
