"""A note that feedback was removed, until a cycle has made the vectors forget it too.

A cycle keeps what is live where the gate refuses, and goes back to it where a change turns out a
loss. Neither may keep what was learned from feedback that somebody asked to be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from nudge_sync.connector import Records
from nudge_sync.errors import LeaseLost
from nudge_sync.store import checksum, schema

KEY = "erasure"
_TRIES = 10


@dataclass(frozen=True)
class Erasure:
    """How often feedback was removed, and how many of these times the vectors have forgotten."""

    __pydantic_config__ = schema.NOTHING_ELSE

    asked: schema.Count = 0
    done: schema.Count = 0
    generation: schema.Count = 0

    @property
    def pending(self) -> bool:
        """Whether the vectors may still say something of feedback that was removed."""
        return self.asked > self.done


def noted(ledger: Records, place: str) -> Erasure:
    """What the ledger's records say of it. Raises DamagedRecord."""
    name = f"{place}__nudge_revisions"
    for record in ledger.get([KEY]):
        checksum.opened([record], name)
        return schema.built(Erasure, record.document.get("erasure"), record, name)
    return Erasure()


def ask(ledger: Records, place: str) -> None:
    """Note that feedback is about to be removed. Raises LeaseLost."""
    _change(ledger, place, lambda now: Erasure(now.asked + 1, now.done))


def settle(ledger: Records, place: str, asked: int) -> None:
    """Note that the vectors have forgotten the first `asked` times. Raises LeaseLost."""
    _change(ledger, place, lambda now: Erasure(now.asked, max(now.done, asked)))


def _change(ledger: Records, place: str, change: Callable[[Erasure], Erasure]) -> None:
    for _ in range(_TRIES):
        now = noted(ledger, place)
        then = replace(change(now), generation=now.generation + 1)
        document = {"generation": then.generation, "erasure": asdict(then)}
        if ledger.swap(checksum.sealed(KEY, document), now.generation or None):
            return
    raise LeaseLost(
        f'others change what "{place}__nudge_revisions" says of removed feedback all the time; '
        "do it again"
    )
