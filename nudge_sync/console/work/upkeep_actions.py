"""Hold, release, restore drill and unlock, from the console."""

from __future__ import annotations

from typing import Any

from nudge_sync.console.work.action_request import ActionContext, Prospect
from nudge_sync.store import lease
from nudge_sync.store.hold import HoldRequest, place_hold, read_hold, release_hold
from nudge_sync.store.upkeep.restore_drill import DEFAULT_SAMPLE_SIZE, run_drill


def describe_hold(context: ActionContext) -> Prospect:
    """Say what a hold keeps from happening."""
    hold = read_hold(context.target)
    return Prospect(
        f"Put {context.target.name} on hold?",
        {
            "on hold now": hold.describe() if hold else "no",
            "effect": "no cycle writes to it until somebody releases it; plans can still be made",
        },
        "Put on hold",
        asks_reason=True,
        confirmed=str(hold.generation if hold else 0),
    )


def hold_collection(context: ActionContext) -> dict[str, Any]:
    """Put the collection on hold, unless it is on one by now that the page did not show."""
    request = context.request
    replaced = request.get_confirmed_number()
    hold_request = HoldRequest(request.actor.describe(), request.reason)
    placed = place_hold(context.target, hold_request, replaced)
    return {"hold": placed.summary()}


def describe_release(context: ActionContext) -> Prospect:
    """Say which hold would end."""
    hold = read_hold(context.target)
    return Prospect(
        f"Let cycles write to {context.target.name} again?",
        {"on hold": hold.describe() if hold else "no"},
        "Release",
        confirmed=str(hold.generation) if hold else "",
        refusal="" if hold else "The collection is not on hold.",
    )


def release_collection(context: ActionContext) -> dict[str, Any]:
    """End the hold that was confirmed."""
    released = release_hold(context.target, context.request.get_confirmed_number())
    return {"released": released is not None, "hold": released.summary() if released else None}


def describe_restore_drill(context: ActionContext) -> Prospect:
    """Say how much is restored, and where to."""
    target = context.target
    return Prospect(
        f"Restore a sample of {target.name} elsewhere and compare every bit?",
        {
            "originals kept": f"{target.shadow.records.count():,}",
            "restored": f"at most {DEFAULT_SAMPLE_SIZE:,} originals and as many vectors of history",
            "written to": "a collection of its own, which is dropped afterwards",
        },
        "Run the drill",
    )


def drill_collection(context: ActionContext) -> dict[str, Any]:
    """Run a restore drill."""
    return run_drill(context.target, progress=context.progress).summary()


def describe_unlock(context: ActionContext) -> Prospect:
    """Say who would lose the lease."""
    holder = lease.read_active_lease(context.target)
    return Prospect(
        f"Take the lease of {context.target.name} away?",
        {
            "held by": holder.describe() if holder else "nobody",
            "effect": "its holder stops before its next write; only for one that is gone for "
            "certain",
        },
        "Take it away",
        is_grave=True,
        confirmed=holder.token if holder else "",
        refusal="" if holder else "Nobody holds the lease.",
    )


def unlock_collection(context: ActionContext) -> dict[str, Any]:
    """Take the lease away from the holder that was confirmed."""
    holder = lease.break_lease(context.target, context.request.confirmed)
    return {"held_by": holder.describe() if holder else None}
