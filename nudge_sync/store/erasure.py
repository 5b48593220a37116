"""A note that feedback was removed, until a cycle has made the vectors forget it too.

A cycle keeps what is live where the gate refuses, and goes back to it where a change turns out a
loss. Neither may keep what was learned from feedback that somebody asked to be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from nudge_sync.errors import LeaseLost
from nudge_sync.store import checksum, schema
from nudge_sync.store.target import Target

ERASURE_KEY = "erasure"
_MAX_ATTEMPTS = 10


@dataclass(frozen=True)
class ErasureState:
    """How often feedback was removed, and how many of these times the vectors have forgotten."""

    __pydantic_config__ = schema.FORBID_EXTRA

    asked: schema.Count = 0
    done: schema.Count = 0
    generation: schema.Count = 0

    @property
    def is_pending(self) -> bool:
        """Whether the vectors may still say something of feedback that was removed."""
        return self.asked > self.done


def read_erasure_state(target: Target) -> ErasureState:
    """Return what the ledger says of it. Raises DamagedRecord."""
    collection_name = target.ledger_name
    for record in target.ledger_records.get([ERASURE_KEY]):
        checksum.verify_checksums([record], collection_name)
        return schema.parse_content(
            ErasureState, record.document.get("erasure"), record, collection_name
        )
    return ErasureState()


def request_erasure(target: Target) -> None:
    """Note that feedback is about to be removed. Raises LeaseLost."""
    _update_state(target, lambda now: ErasureState(now.asked + 1, now.done))


def complete_erasure(target: Target, request_count: int) -> None:
    """Note that the vectors have forgotten the first `asked` times. Raises LeaseLost."""
    _update_state(target, lambda now: ErasureState(now.asked, max(now.done, request_count)))


def _update_state(target: Target, change: Callable[[ErasureState], ErasureState]) -> None:
    for _ in range(_MAX_ATTEMPTS):
        current = read_erasure_state(target)
        updated = replace(change(current), generation=current.generation + 1)
        document = {"generation": updated.generation, "erasure": asdict(updated)}
        if target.ledger_records.swap(
            checksum.add_checksum(ERASURE_KEY, document), current.generation or None
        ):
            return
    raise LeaseLost(
        f'others change what "{target.ledger_name}" says of removed feedback all the time; '
        "do it again"
    )
