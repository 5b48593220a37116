"""What a key or token may not do, found out by requests that change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import uuid4

from qdrant_client.models import OptimizersConfigDiff

from nudge_sync.errors import DatabaseError, Unauthorised, Unreachable
from nudge_sync_qdrant.client import Connection
from nudge_sync_qdrant.consistency import send_empty_update
from nudge_sync_qdrant.create import has_collection


def probe_rights(
    connection: Connection, collection: str, companions: Sequence[str]
) -> Iterator[str]:
    """Yield what the key may not do that a change of `collection` needs, each a sentence.

    companions: the sidecar's own collections, which it writes, and makes where they are missing.
    Nothing without a key. Raises DatabaseError where the server cannot be asked.
    """
    if not connection.has_api_key:
        return
    absent: list[str] = []
    for name in (collection, *companions):
        try:
            if not has_collection(connection, name):
                absent.append(name)
            elif not _may_write(connection, name):
                yield f'the key may read "{name}" but not write to it'
        except Unauthorised:
            yield f'the key may not read "{name}"'
    if absent and not _may_create(connection):
        names = ", ".join(f'"{name}"' for name in absent)
        yield f"{names} not there yet, and the key may not make collections"


def _may_write(connection: Connection, name: str) -> bool:
    try:
        send_empty_update(connection, name)
    except Unauthorised:
        return False
    except Unreachable:
        # A node is down: no question of rights, which are looked at first.
        return True
    return True


def _may_create(connection: Connection) -> bool:
    """Return whether the key may make collections: then it may change them, also one of no name."""
    try:
        with connection.translate_errors("rights"):
            connection.client.update_collection(
                f"nudge_sync_no_such_{uuid4().hex}", optimizers_config=OptimizersConfigDiff()
            )
    except Unauthorised:
        return False
    except DatabaseError:
        return True
    return True
