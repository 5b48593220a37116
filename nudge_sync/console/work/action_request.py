"""What somebody asks for, and what they are told before it is done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.config import CollectionSettings
from nudge_sync.console.work.plan_view import PlanView
from nudge_sync.errors import InputError
from nudge_sync.planning.plan import Plan
from nudge_sync.store.target import Target

ORIGINALS = "originals"
"""What a rollback to the originals is asked for by, in place of a revision's number."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, as far as it is known."""

    name: str
    """"" where nobody said."""
    address: str
    """The address that the request came from."""

    def describe(self) -> str:
        """Return the actor as holds and log lines name them."""
        return f"{self.name or 'somebody'} in the console, from {self.address or 'unknown'}"


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """What was confirmed, and by whom."""

    actor: Actor
    to: str = ""
    """rollback: a revision's number, `ORIGINALS`, or "" for before the last revision."""
    reason: str = ""
    confirmed: str = ""
    """What the question was about, as `Prospect.confirmed` names it; "" where there was none."""

    def get_confirmed_number(self) -> int:
        """Return the number that the question was about. Raises InputError if it named none."""
        # 18 digits: below 2**63.
        if not re.fullmatch("[0-9]{1,18}", self.confirmed):
            raise InputError("this was not confirmed on its page; look at it again")
        return int(self.confirmed)


@dataclass(frozen=True, slots=True)
class ActionContext:
    """What an action works on."""

    target: Target
    settings: CollectionSettings
    request: ActionRequest
    plan_view: PlanView | None
    """The plan that the console shows of the collection, if it has one."""
    progress: Progress = ignore_progress

    def get_confirmed_plan(self) -> Plan:
        """Return the plan that the question was about. Raises InputError if it is gone."""
        view = self.plan_view
        if view is None or view.plan.inputs_digest != self.request.confirmed:
            raise InputError("the plan is not the one that was confirmed; look at it again")
        return view.plan


@dataclass(frozen=True, slots=True)
class Prospect:
    """What an action would do."""

    question: str
    facts: Mapping[str, str]
    """What it changes, in numbers."""
    button: str
    is_grave: bool = False
    """Whether the button should look like one to be careful with."""
    asks_reason: bool = False
    confirmed: str = ""
    """What the question is about: the digest of a plan, the last revision, the candidate's number,
    the experiment, the hold's generation or the lease's token. The action refuses any other; ""
    for one that does the same whatever happened meanwhile."""
    refusal: str = ""
    """Why it cannot be done now, "" where it can."""
