"""What an operator can do from the console, and how it is done and written down.

Each action is the verb of the command line of that name; nothing is decided here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from nudge_sync.base.progress import Progress
from nudge_sync.console.context import Console
from nudge_sync.console.jobs import BackgroundJob
from nudge_sync.console.kept_work import forget_answers
from nudge_sync.console.work.action_request import ActionContext, ActionRequest, Prospect
from nudge_sync.console.work.canary_actions import (
    describe_canary,
    describe_promotion,
    describe_stop,
    stop_experiment,
    try_plan,
    write_candidate,
)
from nudge_sync.console.work.upkeep_actions import (
    describe_hold,
    describe_release,
    describe_restore_drill,
    describe_unlock,
    drill_collection,
    hold_collection,
    release_collection,
    unlock_collection,
)
from nudge_sync.console.work.write_actions import (
    apply_plan,
    describe_apply,
    describe_rollback,
    write_back,
)
from nudge_sync.errors import NudgeSyncError
from nudge_sync.store.upkeep.audit import begin_audit_line, end_audit_line

_LOGGER = logging.getLogger("nudge_sync")


Describe: TypeAlias = Callable[[ActionContext], Prospect]
Run: TypeAlias = Callable[[ActionContext], dict[str, Any]]


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
    console: Console, name: str, collection: str, request: ActionRequest
) -> BackgroundJob:
    """Start the action `name` in the background, and return its job.

    Who asked for it, and what came of it, is logged and kept in the ledger. While the same action
    on the collection waits or runs, nothing is started: the job is that one, with its own request.
    """
    action = ACTIONS[name]
    opener, plans = console.opener, console.plans
    settings = opener.get_settings(collection)

    def work(progress: Progress) -> dict[str, Any]:
        _log(name, collection, request, "begins")
        try:
            with opener.open_target(collection, waits_long=True) as target:
                plan_view = plans.get(collection)
                context = ActionContext(target, settings, request, plan_view, progress)
                summary = _run_audited(name, context)
        except Exception as error:
            _log(name, collection, request, f"failed: {type(error).__name__}")
            raise
        finally:
            forget_answers(console.jobs, collection)
        if action.drops_plan:
            plans.drop(collection)
        _log(name, collection, request, "done")
        return summary

    return console.jobs.start((name, collection), f"{action.title}: {collection}", work, request)


def _run_audited(name: str, context: ActionContext) -> dict[str, Any]:
    """Run the action between the two writes of its line in the ledger's collection."""
    target, request = context.target, context.request
    line = begin_audit_line(
        target,
        name,
        request.actor.name,
        request.actor.address,
        to=request.to,
        reason=request.reason,
    )
    try:
        summary = ACTIONS[name].run(context)
    except Exception as error:
        # Anything else may quote addresses and data.
        text = str(error) if isinstance(error, NudgeSyncError) else f"a bug: {type(error).__name__}"
        with _log_unwritten(name):
            end_audit_line(target, line, "failed", error=text)
        raise
    with _log_unwritten(name):
        end_audit_line(target, line, "done", revision=_find_revision(summary))
    return summary


def _find_revision(summary: Mapping[str, Any]) -> int:
    """Return the revision that an action made, as its summary says; 0 where it made none."""
    numbers = (summary.get("revision"), summary.get("candidate"))
    return next((number for number in numbers if isinstance(number, int)), 0)


@contextmanager
def _log_unwritten(name: str) -> Iterator[None]:
    """Log an error of the database: what was done stays done, and is said to be."""
    try:
        yield
    except NudgeSyncError as error:
        details = {"action": name, "error": type(error).__name__}
        _LOGGER.error("console action not noted as ended", extra={"details": details})  # noqa: TRY400


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


ACTIONS: Mapping[str, Action] = {
    "apply": Action("Apply the plan", describe_apply, apply_plan, drops_plan=True),
    "rollback": Action("Roll back", describe_rollback, write_back, drops_plan=True),
    "canary-start": Action("Start a canary", describe_canary, try_plan, drops_plan=True),
    "canary-promote": Action(
        "Promote the canary", describe_promotion, write_candidate, drops_plan=True
    ),
    "canary-stop": Action("End the experiment", describe_stop, stop_experiment),
    "hold": Action("Put on hold", describe_hold, hold_collection),
    "release": Action("Release", describe_release, release_collection),
    "drill": Action("Restore drill", describe_restore_drill, drill_collection),
    "unlock": Action("Take the lease away", describe_unlock, unlock_collection),
}
