"""Plans that turned out a loss, on the live index or to the people who saw them in a canary: what
they were made from is not tried again.
"""

from __future__ import annotations

from collections.abc import Sequence

from nudge_sync.errors import StalePlan
from nudge_sync.planning.plan import Plan
from nudge_sync.store.ledger import Revision, find_head


def find_lost_revision(entries: Sequence[Revision], inputs_digest: str) -> Revision | None:
    """Return the revision that was made from these inputs and turned out a loss, or None.

    inputs_digest: as `Plan.inputs_digest`. Only a revision that was measured against what the
    collection holds now counts: after a rollback to elsewhere the same plan may well be a gain.
    """
    head = find_head(list(entries))
    lost = [
        entry
        for entry in entries
        if _is_lost(entry) and entry.details.inputs == inputs_digest and entry.parent == head
    ]
    return lost[-1] if lost else None


def format_lost_revision(entry: Revision) -> str:
    """Return why the plan is not written again, a sentence for the gate's reasons."""
    loss = (
        "was a loss on the live index and was rolled back"
        if entry.details.lost is not None
        else "was surely worse to those who saw it in a canary"
    )
    return (
        f"revision {entry.number}, made from the same feedback and settings, {loss}; other "
        "feedback or settings make another plan"
    )


def _is_lost(entry: Revision) -> bool:
    ending = entry.details.ending
    return entry.details.lost is not None or (ending is not None and ending.verdict == "harm")


def refuse_lost_plan(plan: Plan, entries: Sequence[Revision]) -> None:
    """Raise StalePlan if a plan that may be written was a loss already.

    For a plan from a file: one that is made now is refused by its gate.
    """
    lost = find_lost_revision(entries, plan.inputs_digest) if plan.gate.passed else None
    if lost is not None:
        raise StalePlan(f"nothing was written: {format_lost_revision(lost)}")
