"""The engine's exceptions, which are all plain `Exception`, as nudge-sync's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nudge_sync.errors import DatabaseError, NudgeSyncError, Unreachable


class PointNotFound(DatabaseError):
    """A point of the request is gone; others of the request may have been updated."""


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Raise the engine's exceptions as nudge-sync's own; goes around each request.

    name: the collection that the request is about, for messages.
    """
    try:
        yield
    except NudgeSyncError:
        raise
    except Exception as error:
        raise _translate_error(error, name) from error


def _translate_error(error: Exception, name: str) -> DatabaseError:
    text = str(error)
    if "WouldBlock" in text:
        return Unreachable(
            f'"{name}" is open in another process or database object, and Qdrant Edge allows '
            "one; close it there, or hand over the open shard"
        )
    error_class = PointNotFound if "No point with id" in text else DatabaseError
    return error_class(f'"{name}": {text}')
