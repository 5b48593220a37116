"""Signing in and out."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from nudge_sync.console.access import SESSION_SECONDS
from nudge_sync.console.context import ConsoleDependency
from nudge_sync.console.guards import (
    COOKIE_NAME,
    PROOF_FIELD,
    ProvenForm,
    RawForm,
    describe_form,
    find_visitor,
)
from nudge_sync.console.rendering import render_page

session_router = APIRouter()


@session_router.get("/login")
def show_login(
    request: Request,
    console: ConsoleDependency,
    wanted: Annotated[str, Query(alias="next")] = "/",
    token: str = "",
) -> Response:
    """Show the form, or take the token of the address that `nudge-sync console` printed."""
    if token:
        return _sign_in(request, console, token, "", "/")
    if find_visitor(request, console) is not None:
        return RedirectResponse("/", HTTPStatus.SEE_OTHER)
    return _show_form(request, check_path(wanted), "")


@session_router.post("/login", openapi_extra=describe_form("token", "name", "next"))
def sign_in(request: Request, console: ConsoleDependency, form: RawForm) -> Response:
    """Begin a session with the token of the form."""
    wanted = check_path(form.get("next", "/"))
    return _sign_in(request, console, form.get("token", "").strip(), form.get("name", ""), wanted)


@session_router.post("/logout", openapi_extra=describe_form(PROOF_FIELD))
def sign_out(request: Request, console: ConsoleDependency, _form: ProvenForm) -> Response:
    """End the session."""
    console.access.sign_out(request.cookies.get(COOKIE_NAME, ""))
    response = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    response.delete_cookie(COOKIE_NAME)
    return response


def check_path(path: str) -> str:
    """Return a path of this site; "/" for anything that could lead elsewhere."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own else "/"


def _sign_in(
    request: Request, console: ConsoleDependency, token: str, name: str, wanted: str
) -> Response:
    session = console.access.sign_in(token, name)
    if session is None:
        return _show_form(request, wanted, "This token is not right.", HTTPStatus.UNAUTHORIZED)
    response = RedirectResponse(wanted, HTTPStatus.SEE_OTHER)
    response.set_cookie(
        COOKIE_NAME,
        session,
        max_age=int(SESSION_SECONDS),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


def _show_form(
    request: Request, wanted: str, message: str, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    return render_page(
        request, "login.html.j2", status=status, title="Sign in", wanted=wanted, message=message
    )
