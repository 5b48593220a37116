"""Plans that turned out a loss on the live index: what they were made from is not tried again."""

from __future__ import annotations

from collections.abc import Sequence

from nudge_sync.errors import StalePlan
from nudge_sync.planning.plan import Plan
from nudge_sync.store.ledger import Revision, find_head


def find_lost_revision(entries: Sequence[Revision], inputs_digest: str) -> Revision | None:
    """Return the revision that was made from these inputs and rolled back after a loss, or None.

    inputs_digest: as `Plan.inputs_digest`. Only a revision that was measured against what the
    collection holds now counts: after a rollback to elsewhere the same plan may well be a gain.
    """
    head = find_head(list(entries))
    lost = [
        entry
        for entry in entries
        if entry.details.lost is not None
        and entry.details.inputs == inputs_digest
        and entry.parent == head
    ]
    return lost[-1] if lost else None


def format_lost_revision(entry: Revision) -> str:
    """Return why the plan is not written again, a sentence for the gate's reasons."""
    return (
        f"revision {entry.number}, made from the same feedback and settings, was a loss on the "
        "live index and was rolled back; other feedback or settings make another plan"
    )


def refuse_lost_plan(plan: Plan, entries: Sequence[Revision]) -> None:
    """Raise StalePlan if a plan that may be written was a loss on the live index already.

    For a plan from a file: one that is made now is refused by its gate.
    """
    lost = find_lost_revision(entries, plan.inputs_digest) if plan.gate.passed else None
    if lost is not None:
        raise StalePlan(f"nothing was written: {format_lost_revision(lost)}")
