"""Reads that no stale copy can deceive, and updates that all go through one node.

A cluster's consensus says which copies of a shard are complete ("active"): each of them holds every
write that was acknowledged. So a read asks a majority of the copies; where some are down, all that
consensus still calls active; and never fewer for a read that something is decided by. A node that
went down is still called active until an update has failed on it. Where it stands in the way, an
update that changes nothing is sent, after which the cluster takes it out of use.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias, TypeVar
from uuid import uuid4

from qdrant_client.models import (
    Filter,
    HasIdCondition,
    ReadConsistencyType,
    UpdateResult,
    WriteOrdering,
)

from nudge_sync.errors import DatabaseError, Unauthorised
from nudge_sync_qdrant.client import Connection
from nudge_sync_qdrant.errors import LeaderUnavailable, ReplicaUnavailable
from nudge_sync_qdrant.replicas import read_placement

Consistency: TypeAlias = ReadConsistencyType | int | None
"""How many copies have to agree: that many, or a majority; None: any one copy is asked."""
_NO_FIELD = "nudge_sync_no_field"
"""A payload key that no point has."""
_Answer = TypeVar("_Answer")


def read_decisively(
    connection: Connection, name: str, fetch: Callable[[Consistency], _Answer]
) -> _Answer:
    """Return the answer of every copy that the cluster takes for complete, or of a majority.

    fetch: sends the request. A copy that does not answer although it is taken for complete is
    first taken out of use by the cluster. Raises ReplicaUnavailable where that does not happen,
    such as on a node that is cut off from the others.
    """
    try:
        return _read_active_copies(connection, name, fetch)
    except ReplicaUnavailable:
        try:
            with suppress(ReplicaUnavailable):
                send_empty_update(connection, name)
        except Unauthorised:
            # Whoever may not write decides nothing by what it reads.
            return fetch(None)
    return _read_active_copies(connection, name, fetch)


def read_available(
    connection: Connection, name: str, fetch: Callable[[Consistency], _Answer]
) -> _Answer:
    """Return what `read_decisively` does, or else the answer of any one copy; changes nothing."""
    try:
        return _read_active_copies(connection, name, fetch)
    except ReplicaUnavailable:
        return fetch(None)


def update_in_order(
    connection: Connection, name: str, send: Callable[[WriteOrdering], UpdateResult]
) -> None:
    """Send an update in strong order, and require that it was carried out.

    Where the node is down that orders the updates of a shard, the cluster takes its copies out of
    use first, and then the next node orders them. Raises LeaderUnavailable where it does not.
    """
    subject = f'"{name}"'
    try:
        with connection.translate_errors(subject):
            result = send(WriteOrdering.STRONG)
    except LeaderUnavailable as error:
        if not _take_out_of_use(connection, name, error.peer):
            raise
        with connection.translate_errors(subject):
            result = send(WriteOrdering.MEDIUM)
    connection.require_completed(subject, result)


def _read_active_copies(
    connection: Connection, name: str, fetch: Callable[[Consistency], _Answer]
) -> _Answer:
    try:
        return fetch(ReadConsistencyType.MAJORITY)
    except ReplicaUnavailable:
        try:
            active = read_placement(connection, name).fewest_active
        except DatabaseError:
            active = 0
        if not active:
            raise
    return fetch(active)


def _take_out_of_use(connection: Connection, name: str, peer: int) -> bool:
    """Let the cluster take the copies on a node that is down out of use; return whether it did."""
    try:
        with suppress(ReplicaUnavailable):
            send_empty_update(connection, name)
        return not read_placement(connection, name).relies_on(peer)
    except Unauthorised:
        return False


def send_empty_update(connection: Connection, name: str) -> None:
    """Send an update of no point to every shard, in which each copy has to take part."""
    nothing = Filter(must=[HasIdCondition(has_id=[str(uuid4())])])
    with connection.translate_errors(f'"{name}"'):
        connection.client.delete_payload(
            name, [_NO_FIELD], points=nothing, wait=True, ordering=WriteOrdering.WEAK
        )
