"""Applying a plan and rolling back, from the console."""

from __future__ import annotations

from typing import Any

from nudge_sync import cycle
from nudge_sync.console.work.action_request import ORIGINALS, ActionContext, Prospect
from nudge_sync.errors import InputError
from nudge_sync.store.hold import HoldRequest, format_refusal, read_hold
from nudge_sync.store.ledger import find_candidate, find_head, find_restorable_revisions
from nudge_sync.store.target import Target
from nudge_sync.writing.rollback import find_last_revision, roll_back


def describe_apply(context: ActionContext) -> Prospect:
    """Say how many vectors the plan writes, and what it gains."""
    target, view = context.target, context.plan_view
    if view is None:
        return Prospect("Apply a plan?", {}, "Apply", refusal="Compute a plan first.")
    summary = view.plan.summary()
    # A plan from a file may know a metric on one side alone.
    scores = {
        metric: f"{before:.4f} → {summary['after'][metric]:.4f}"
        for metric, before in summary["before"].items()
        if metric in summary["after"]
    }
    passed = summary["gate"]["passed"]
    question = (
        f"Write {summary['moved']:,} vectors of {target.name}?"
        if passed
        else f"The gate refuses this plan. Put {summary['moved']:,} vectors back?"
    )
    return Prospect(
        question,
        {
            "vectors written": f"{summary['moved']:,} of {target.facts.points:,}",
            "method": summary["method"],
            **scores,
            "the gate": "; ".join(summary["gate"]["reasons"]),
            "way back": "a rollback writes every bit back",
        },
        f"Write {summary['moved']:,} vectors",
        is_grave=True,
        confirmed=view.plan.inputs_digest,
        refusal=_refuse_apply(target, summary["moved"]),
    )


def apply_plan(context: ActionContext) -> dict[str, Any]:
    """Write the plan that was confirmed."""
    plan = context.get_confirmed_plan()
    return cycle.apply(context.target, context.settings, plan, context.progress).summary()


def describe_rollback(context: ActionContext) -> Prospect:
    """Say what the collection would go back to, and how many points are looked at for it."""
    target, goal = context.target, _parse_goal(context.request.to)
    entries = target.open_ledger().entries()
    restorable = find_restorable_revisions(entries, context.settings.write.keep_revisions)
    head = find_head(entries)
    state = "the originals" if goal == 0 else "before the last revision"
    refusal = ""
    if goal:
        state = f"revision {goal}"
        if goal not in restorable:
            kept = ", ".join(map(str, restorable)) or "none"
            refusal = f"The history of revision {goal} is not kept; kept are: {kept}."
    return Prospect(
        f"Write the vectors of {target.name} back to {state}?",
        {
            "live now": f"revision {head}" if head else "the originals",
            "goes back to": state,
            "points ever moved": f"{target.shadow.records.count():,}, each compared and, where it "
            "differs, written",
            "afterwards": "on hold: no cycle writes until somebody releases it",
        },
        "Write back",
        is_grave=True,
        asks_reason=True,
        confirmed=str(find_last_revision(entries)) if goal is None else "",
        refusal=refusal,
    )


def write_back(context: ActionContext) -> dict[str, Any]:
    """Roll back to what was asked for, and put the collection on hold."""
    request, goal = context.request, _parse_goal(context.request.to)
    last = request.get_confirmed_number() if goal is None else None
    hold = HoldRequest(request.actor.describe(), request.reason or "rolled back in the console")
    return roll_back(
        context.target,
        context.settings,
        to=goal or None,
        originals=goal == 0,
        hold=hold,
        last=last,
        progress=context.progress,
    ).summary()


def _refuse_apply(target: Target, moved_count: int) -> str:
    hold = read_hold(target)
    if hold is not None:
        return format_refusal(target, hold)
    if find_candidate(target.open_ledger().entries()) is not None:
        return "A canary runs, and nothing else is written until it ends."
    return "" if moved_count else "There is nothing to write: every point holds what it shall."


def _parse_goal(to: str) -> int | None:
    """Return the revision to go back to, 0 for the originals, None for before the last one."""
    if to == ORIGINALS:
        return 0
    if not to:
        return None
    if not to.isdecimal() or int(to[:18]) == 0:
        raise InputError("a revision has a number above 0")
    return int(to[:18])
