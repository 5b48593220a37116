"""What all pages share, and how a request gets at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, cast
from urllib.parse import quote

from fastapi import Depends, HTTPException, Request
from fastapi.responses import RedirectResponse

from nudge_sync.config import Config
from nudge_sync.console.access import Access
from nudge_sync.console.jobs import JobBoard
from nudge_sync.console.opener import DatabaseOpener
from nudge_sync.console.work.plan_view import PlanShelf


def find_no_runs() -> dict[str, float]:
    """Return no times: those of a console without a daemon."""
    return {}


@dataclass(frozen=True)
class Console:
    """One console: its configuration, its doors, and what it has worked out."""

    opener: DatabaseOpener
    access: Access
    find_next_runs: Callable[[], Mapping[str, float]] = find_no_runs
    """Collection -> when its next cycle is due, in seconds since 1970, by the daemon."""
    list_intake: Callable[[str], Sequence[tuple[str, str, int]]] | None = None
    """Of a collection: whence the daemon took feedback, the rows' result, and how many; None for a
    console without a daemon."""
    jobs: JobBoard = field(default_factory=JobBoard)
    plans: PlanShelf = field(default_factory=PlanShelf)

    @property
    def config(self) -> Config:
        """The configuration; another one after a reload."""
        return self.opener.config

    def list_hosts(self) -> list[str]:
        """Return the names that the console is reached by, beside addresses and localhost."""
        return [self.config.serve.host, *self.config.serve.console_hosts]


def get_console(request: Request) -> Console:
    """Return the console that answers the request."""
    return cast("Console", request.app.state.console)


ConsoleDependency = Annotated[Console, Depends(get_console)]


def check_collection_name(name: str, console: ConsoleDependency) -> str:
    """Return the collection that the path names. Raises HTTPException where there is none."""
    if name not in console.config.collections:
        raise HTTPException(404, "the configuration has no collection of this name")
    return name


CollectionName = Annotated[str, Depends(check_collection_name)]


def redirect_to_page(name: str, page: str) -> RedirectResponse:
    """Return what sends a browser on to a page of the collection `name`, such as "plan"."""
    return RedirectResponse(f"/c/{quote(name, safe='')}/{page}", HTTPStatus.SEE_OTHER)
