"""What an operator can do: each action is confirmed on a page that says what it will change."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from nudge_sync.console.access import Visitor
from nudge_sync.console.context import CollectionName, ConsoleDependency, redirect_to_page
from nudge_sync.console.guards import (
    PROOF_FIELD,
    OperatorDependency,
    ProvenForm,
    VisitorDependency,
    describe_form,
)
from nudge_sync.console.jobs import BackgroundJob
from nudge_sync.console.rendering import render_page
from nudge_sync.console.summaries import flatten_summary
from nudge_sync.console.work.action_list import ACTIONS, Action, begin_action
from nudge_sync.console.work.action_request import ORIGINALS, ActionContext, ActionRequest, Actor

actions_router = APIRouter()


@actions_router.get("/c/{name}/do/{action_name}")
def confirm_action(
    request: Request,
    name: CollectionName,
    action_name: str,
    console: ConsoleDependency,
    operator: OperatorDependency,
    to: str = "",
) -> Response:
    """Show what the action would do, in numbers, and ask; nothing is done yet."""
    action = _get_action(action_name)
    asked = ActionRequest(_identify(request, operator), to=to)
    with console.opener.open_target(name) as target:
        settings, plan_view = console.opener.get_settings(name), console.plans.get(name)
        prospect = action.describe(ActionContext(target, settings, asked, plan_view))
    return render_page(
        request,
        "confirm.html.j2",
        title=action.title,
        collection=name,
        section="",
        action=action,
        action_name=action_name,
        prospect=prospect,
        to=to,
    )


@actions_router.post(
    "/c/{name}/do/{action_name}",
    openapi_extra=describe_form(PROOF_FIELD, "confirmed", "to", "reason"),
)
def start_action(
    request: Request,
    name: CollectionName,
    action_name: str,
    console: ConsoleDependency,
    operator: OperatorDependency,
    form: ProvenForm,
) -> Response:
    """Do what was confirmed, in the background, unless the same is under way for another request.

    Pressing the button twice is one request.
    """
    _get_action(action_name)
    asked = ActionRequest(
        _identify(request, operator),
        to=form.get("to", ""),
        reason=form.get("reason", ""),
        confirmed=form.get("confirmed", ""),
    )
    job = begin_action(console, action_name, name, asked)
    if job.request != asked:
        raise HTTPException(HTTPStatus.CONFLICT, _describe_pending(job))
    return redirect_to_page(name, f"work/{job.job_id}")


@actions_router.get("/c/{name}/work/{job_id}")
def show_work(
    request: Request,
    name: CollectionName,
    job_id: str,
    console: ConsoleDependency,
    _visitor: VisitorDependency,
) -> Response:
    """Show how far an action is, and what came of it."""
    job = console.jobs.get(job_id)
    if job is None:
        raise HTTPException(404, "this work is not known here any more")
    return render_page(
        request,
        "work.html.j2",
        title=job.title,
        collection=name,
        section="",
        job=job,
        fields=flatten_summary(job.result) if isinstance(job.result, dict) else {},
    )


def _identify(request: Request, operator: Visitor) -> Actor:
    return Actor(operator.name, request.client.host if request.client else "")


def _describe_pending(job: BackgroundJob) -> str:
    request: ActionRequest = job.request
    goal = "the originals" if request.to == ORIGINALS else f"revision {request.to}"
    to = f", back to {goal}" if request.to else ""
    reason = f", because: {request.reason}" if request.reason else ""
    return (
        f'"{job.title}" has not ended yet. It was asked for by {request.actor.describe()}{to}'
        f"{reason}. What you asked for was not begun; look at the collection once this has ended."
    )


def _get_action(name: str) -> Action:
    action = ACTIONS.get(name)
    if action is None:
        raise HTTPException(404, "there is no such action")
    return action
