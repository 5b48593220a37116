"""Whether the database lets this process do what a change needs, before anything is written."""

from __future__ import annotations

from nudge_sync.connector import GuardedDatabase
from nudge_sync.errors import Unauthorised
from nudge_sync.store.retry import retry_transient
from nudge_sync.store.target import Companion, Target, list_companions

_WRITTEN: tuple[Companion, ...] = ("originals", "history", "revisions")
"""Companions that every change of the collection writes."""


def find_missing_rights(target: Target) -> list[str]:
    """Return what a cycle or a rollback needs and may not, a sentence each.

    [] too where the database does not say.
    """
    database = target.database
    if not isinstance(database, GuardedDatabase):
        return []
    names = list_companions(target)
    companions = [names[each] for each in _WRITTEN]
    return retry_transient(
        lambda: database.missing_rights(target.facts.collection, companions),
        patience=target.patience,
    )


def refuse_missing_rights(target: Target) -> None:
    """Raise Unauthorised where a change would be refused half-way."""
    missing = find_missing_rights(target)
    if missing:
        raise Unauthorised(
            "; ".join(missing) + ". Nothing was written; docs/operations.md lists what each verb "
            "needs"
        )
