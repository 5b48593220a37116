"""Pending erasure: feedback was removed, and no cycle has made the vectors forget it yet.

A cycle keeps the live vectors where the gate refuses, and goes back to them where a change turns
out a loss. Neither may keep what was learned from feedback that somebody asked to be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from nudge_sync.errors import LeaseLost
from nudge_sync.store import checksum, schema
from nudge_sync.store.target import Target

ERASURE_KEY = "erasure"
"""The key of its record, which stands in the ledger."""
_MAX_ATTEMPTS = 10
"""Swaps that are tried while other processes change the record."""


@dataclass(frozen=True)
class ErasureState:
    """How often feedback was removed, and how many of these removals the vectors have forgotten."""

    __pydantic_config__ = schema.FORBID_EXTRA

    asked: schema.Count = 0
    done: schema.Count = 0
    generation: schema.Count = 0

    @property
    def is_pending(self) -> bool:
        """Whether the vectors may still say something of feedback that was removed."""
        return self.asked > self.done


def read_erasure_state(target: Target) -> ErasureState:
    """Return the state that the ledger holds. Raises DamagedRecord."""
    for record in target.ledger_records.get([ERASURE_KEY]):
        checksum.verify_checksums([record], target.ledger_name)
        content = record.document.get("erasure")
        return schema.parse_content(ErasureState, content, record, target.ledger_name)
    return ErasureState()


def request_erasure(target: Target) -> None:
    """Store that feedback is about to be removed, or was while a cycle may have read it.

    Raises LeaseLost.
    """
    _update_state(target, lambda now: ErasureState(now.asked + 1, now.done))


def complete_erasure(target: Target, request_count: int) -> None:
    """Store that the vectors have forgotten the first `request_count` removals.

    Raises LeaseLost.
    """
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
        f'other processes keep changing what "{target.ledger_name}" says of removed feedback; '
        "run the command again"
    )
