"""What an operator can do about a canary or a holdback from the console."""

from __future__ import annotations

import time
from typing import Any

from nudge_sync.base.text.percent import format_exact_percent
from nudge_sync.canary.by_hand import promote, stop
from nudge_sync.canary.start import start
from nudge_sync.canary.status import (
    ExperimentStatus,
    identify_experiment,
    read_running_to_stop,
    read_status,
    read_status_to_stop,
)
from nudge_sync.console.work.action_request import ActionContext, Prospect
from nudge_sync.console.work.plan_view import PlanView
from nudge_sync.errors import InputError
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.store.checksum import digest_json
from nudge_sync.store.hold import format_refusal, read_hold
from nudge_sync.store.ledger import find_candidate
from nudge_sync.store.target import Target


def describe_canary(context: ActionContext) -> Prospect:
    """Say who would see the plan, and for how long."""
    target, view = context.target, context.plan_view
    if view is None:
        return Prospect("Try a plan?", {}, "Try", refusal="Compute a plan first.")
    canary, moved = context.settings.canary or CanarySettings(), len(view.plan.rows)
    share = format_exact_percent(canary.share)
    lists = "lists made of both" if canary.mode == "interleave" else "the plan's lists"
    return Prospect(
        f"Show {moved:,} new vectors of {target.name} to some sessions?",
        {
            "written to the collection": "nothing, until it is promoted",
            "who sees it": f"{share} of the {canary.unit}s, {lists}",
            "for how long": f"{canary.max_days:g} days at most",
            "once proven": "written" if canary.on_success == "apply" else "waits for a person",
            "meanwhile": "nothing else is written to the collection",
        },
        "Start the canary",
        confirmed=_identify_canary(view, canary),
        refusal=_refuse_canary(target, view),
    )


def try_plan(context: ActionContext) -> dict[str, Any]:
    """Show the plan that was confirmed to some sessions, as many as the page said."""
    view, settings = context.plan_view, context.settings
    canary = settings.canary or CanarySettings()
    if view is None or _identify_canary(view, canary) != context.request.confirmed:
        raise InputError(
            "the plan, or [canary] of the configuration, is not what was confirmed; look at it "
            "again"
        )
    return start(context.target, settings, view.plan, context.progress).summary()


def describe_promotion(context: ActionContext) -> Prospect:
    """Say what the evidence says, and how much would be written."""
    target = context.target
    status = read_status(target, context.settings, now=time.time())
    candidate, hold = status.candidate, read_hold(target)
    if candidate is None:
        return Prospect("Write what a canary shows?", {}, "Write", refusal="No canary runs.")
    return Prospect(
        f"Write {candidate.details.staged:,} vectors of {target.name}?",
        {"the evidence says": _format_verdict(status), "way back": "a rollback, to every bit"},
        f"Write {candidate.details.staged:,} vectors",
        is_grave=True,
        confirmed=str(candidate.number),
        refusal=format_refusal(target, hold) if hold else "",
    )


def write_candidate(context: ActionContext) -> dict[str, Any]:
    """Write the candidate that was confirmed."""
    request = context.request
    number, by = request.get_confirmed_number(), request.actor.describe()
    return promote(context.target, context.settings, by, context.progress, number=number).summary()


def describe_stop(context: ActionContext) -> Prospect:
    """Say what runs, and what the evidence says of it."""
    status = read_status_to_stop(context.target, context.settings, now=time.time())
    experiment = identify_experiment(status.candidate, status.running)
    runs = status.running.experiment_id if status.running else "nothing"
    if not experiment and read_running_to_stop(context.target)[1]:
        experiment, runs = "damaged", "an experiment whose record cannot be read"
    return Prospect(
        f"End what is compared on live traffic of {context.target.name}?",
        {
            "runs": runs,
            "the evidence says": _format_verdict(status),
            "written to the collection": "nothing",
        },
        "End it",
        asks_reason=True,
        confirmed=experiment,
        refusal="" if experiment else "Nothing runs.",
    )


def stop_experiment(context: ActionContext) -> dict[str, Any]:
    """End the canary or the holdback that was confirmed."""
    request = context.request
    return stop(
        context.target,
        context.settings,
        request.actor.describe(),
        request.reason,
        context.progress,
        experiment=request.confirmed,
    ).summary()


def _identify_canary(view: PlanView, canary: CanarySettings) -> str:
    return digest_json([view.plan.inputs_digest, canary.model_dump(mode="json")])


def _refuse_canary(target: Target, view: PlanView) -> str:
    hold = read_hold(target)
    if hold is not None:
        return format_refusal(target, hold)
    if not view.plan.gate.passed:
        return "The gate refuses this plan."
    if not len(view.plan.rows):
        return "There is nothing to show: every point holds what it shall."
    is_running = find_candidate(target.open_ledger().entries()) is not None
    return "A canary runs already." if is_running else ""


def _format_verdict(status: ExperimentStatus) -> str:
    decision = status.decision
    return f"{decision.verdict}: {decision.reason}" if decision else "nothing yet"
