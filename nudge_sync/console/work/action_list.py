"""What an operator can do from the console: what each action would change, and how it is done.

Each is the verb of the command line of that name; nothing is decided here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from nudge_sync import cycle
from nudge_sync.base.progress import Progress
from nudge_sync.config import CollectionSettings
from nudge_sync.console.jobs import BackgroundJob, JobBoard
from nudge_sync.console.opener import DatabaseOpener
from nudge_sync.console.work.action_request import ORIGINALS, ActionRequest, Prospect
from nudge_sync.console.work.canary_actions import (
    describe_canary,
    describe_promotion,
    describe_stop,
    stop_experiment,
    try_plan,
    write_candidate,
)
from nudge_sync.console.work.plan_view import PlanShelf, PlanView
from nudge_sync.errors import InputError
from nudge_sync.store import lease
from nudge_sync.store.hold import HoldRequest, format_refusal, place_hold, read_hold, release_hold
from nudge_sync.store.ledger import find_candidate, find_head, find_restorable_revisions
from nudge_sync.store.target import Target
from nudge_sync.store.upkeep.restore_drill import DEFAULT_SAMPLE_SIZE, run_drill
from nudge_sync.writing.rollback import roll_back

_LOGGER = logging.getLogger("nudge_sync")


Describe: TypeAlias = Callable[[Target, CollectionSettings, str, PlanView | None], Prospect]
Run: TypeAlias = Callable[
    [Target, CollectionSettings, ActionRequest, PlanView | None, Progress], dict[str, Any]
]


@dataclass(frozen=True, slots=True)
class Action:
    """Something an operator can do."""

    title: str
    describe: Describe
    run: Run
    """Does it, and returns the fields that the command line prints of it."""
    drops_plan: bool = False
    """Whether a plan that was made before no longer fits."""


def begin_action(
    name: str,
    collection: str,
    request: ActionRequest,
    *,
    opener: DatabaseOpener,
    plans: PlanShelf,
    jobs: JobBoard,
) -> BackgroundJob:
    """Start the action `name` in the background, and log who asked for it and what came of it."""
    action = ACTIONS[name]
    settings = opener.get_settings(collection)

    def work(progress: Progress) -> dict[str, Any]:
        _log(name, collection, request, "begins")
        try:
            with opener.open_target(collection, waits_long=True) as target:
                summary = action.run(target, settings, request, plans.get(collection), progress)
        except Exception as error:
            _log(name, collection, request, f"failed: {type(error).__name__}")
            raise
        if action.drops_plan:
            plans.drop(collection)
        _log(name, collection, request, "done")
        return summary

    return jobs.start((name, collection), f"{action.title}: {collection}", work)


def _log(name: str, collection: str, request: ActionRequest, state: str) -> None:
    details = {
        "collection": collection,
        "action": name,
        "state": state,
        "by": request.actor.describe(),
        **({"to": request.to} if request.to else {}),
        **({"reason": request.reason} if request.reason else {}),
    }
    _LOGGER.info("console action", extra={"details": details})


def _describe_apply(
    target: Target, _settings: CollectionSettings, _to: str, view: PlanView | None
) -> Prospect:
    if view is None:
        return Prospect("Apply a plan?", {}, "Apply", refusal="Compute a plan first.")
    summary = view.plan.summary()
    scores = {
        metric: f"{before:.4f} → {summary['after'][metric]:.4f}"
        for metric, before in summary["before"].items()
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


def _refuse_apply(target: Target, moved_count: int) -> str:
    hold = read_hold(target)
    if hold is not None:
        return format_refusal(target, hold)
    if find_candidate(target.open_ledger().entries()) is not None:
        return "A canary runs, and nothing else is written until it ends."
    return "" if moved_count else "There is nothing to write: every point holds what it shall."


def _apply(
    target: Target,
    settings: CollectionSettings,
    request: ActionRequest,
    view: PlanView | None,
    progress: Progress,
) -> dict[str, Any]:
    if view is None or view.plan.inputs_digest != request.confirmed:
        raise InputError("the plan is not the one that was confirmed; look at it again")
    return cycle.apply(target, settings, view.plan, progress).summary()


def _describe_rollback(
    target: Target, settings: CollectionSettings, to: str, _view: PlanView | None
) -> Prospect:
    goal = _parse_goal(to)
    entries = target.open_ledger().entries()
    restorable = find_restorable_revisions(entries, settings.write.keep_revisions)
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
        refusal=refusal,
    )


def _roll_back(
    target: Target,
    settings: CollectionSettings,
    request: ActionRequest,
    _view: PlanView | None,
    progress: Progress,
) -> dict[str, Any]:
    goal = _parse_goal(request.to)
    hold = HoldRequest(request.actor.describe(), request.reason or "rolled back in the console")
    return roll_back(
        target,
        settings,
        to=goal or None,
        originals=goal == 0,
        hold=hold,
        progress=progress,
    ).summary()


def _parse_goal(to: str) -> int | None:
    """Return the revision to go back to, 0 for the originals, None for before the last one."""
    if to == ORIGINALS:
        return 0
    if not to:
        return None
    if not to.isdecimal() or int(to[:18]) == 0:
        raise InputError("a revision has a number above 0")
    return int(to[:18])


def _describe_hold(
    target: Target, _settings: CollectionSettings, _to: str, _view: PlanView | None
) -> Prospect:
    hold = read_hold(target)
    return Prospect(
        f"Put {target.name} on hold?",
        {
            "on hold now": hold.describe() if hold else "no",
            "effect": "no cycle writes to it until somebody releases it; plans can still be made",
        },
        "Put on hold",
        asks_reason=True,
    )


def _hold(
    target: Target,
    _settings: CollectionSettings,
    request: ActionRequest,
    _view: PlanView | None,
    _progress: Progress,
) -> dict[str, Any]:
    placed = place_hold(target, HoldRequest(request.actor.describe(), request.reason))
    return {"hold": placed.summary()}


def _describe_release(
    target: Target, _settings: CollectionSettings, _to: str, _view: PlanView | None
) -> Prospect:
    hold = read_hold(target)
    return Prospect(
        f"Let cycles write to {target.name} again?",
        {"on hold": hold.describe() if hold else "no"},
        "Release",
        refusal="" if hold else "The collection is not on hold.",
    )


def _release(
    target: Target,
    _settings: CollectionSettings,
    _request: ActionRequest,
    _view: PlanView | None,
    _progress: Progress,
) -> dict[str, Any]:
    released = release_hold(target)
    return {"released": released is not None, "hold": released.summary() if released else None}


def _describe_drill(
    target: Target, _settings: CollectionSettings, _to: str, _view: PlanView | None
) -> Prospect:
    return Prospect(
        f"Restore a sample of {target.name} elsewhere and compare every bit?",
        {
            "originals kept": f"{target.shadow.records.count():,}",
            "restored": f"at most {DEFAULT_SAMPLE_SIZE:,} originals and as many vectors of history",
            "written to": "a collection of its own, which is dropped afterwards",
        },
        "Run the drill",
    )


def _drill(
    target: Target,
    _settings: CollectionSettings,
    _request: ActionRequest,
    _view: PlanView | None,
    progress: Progress,
) -> dict[str, Any]:
    return run_drill(target, progress=progress).summary()


def _describe_unlock(
    target: Target, _settings: CollectionSettings, _to: str, _view: PlanView | None
) -> Prospect:
    holder = lease.read_active_lease(target)
    return Prospect(
        f"Take the lease of {target.name} away?",
        {
            "held by": holder.describe() if holder else "nobody",
            "effect": "its holder stops before its next write; only for one that is gone for "
            "certain",
        },
        "Take it away",
        is_grave=True,
        refusal="" if holder else "Nobody holds the lease.",
    )


def _unlock(
    target: Target,
    _settings: CollectionSettings,
    _request: ActionRequest,
    _view: PlanView | None,
    _progress: Progress,
) -> dict[str, Any]:
    holder = lease.break_lease(target)
    return {"held_by": holder.describe() if holder else None}


ACTIONS: Mapping[str, Action] = {
    "apply": Action("Apply the plan", _describe_apply, _apply, drops_plan=True),
    "rollback": Action("Roll back", _describe_rollback, _roll_back, drops_plan=True),
    "canary-start": Action("Start a canary", describe_canary, try_plan, drops_plan=True),
    "canary-promote": Action("Promote the canary", describe_promotion, write_candidate),
    "canary-stop": Action("End the experiment", describe_stop, stop_experiment),
    "hold": Action("Put on hold", _describe_hold, _hold),
    "release": Action("Release", _describe_release, _release),
    "drill": Action("Restore drill", _describe_drill, _drill),
    "unlock": Action("Take the lease away", _describe_unlock, _unlock),
}
