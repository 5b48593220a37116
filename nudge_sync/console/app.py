"""The console as a web application: its pages, its errors, its files."""

from __future__ import annotations

import logging
from http import HTTPStatus
from importlib.metadata import version
from importlib.resources import files
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from nudge_sync.console.context import Console
from nudge_sync.console.guards import SignInNeeded, VisitorDependency
from nudge_sync.console.pages.actions import actions_router
from nudge_sync.console.pages.experiment import experiment_router
from nudge_sync.console.pages.feedback import feedback_router
from nudge_sync.console.pages.jobs import jobs_router
from nudge_sync.console.pages.overview import overview_router
from nudge_sync.console.pages.plan import plan_router
from nudge_sync.console.pages.point import point_router
from nudge_sync.console.pages.revisions import revisions_router
from nudge_sync.console.pages.session import session_router
from nudge_sync.console.pages.trial import trial_router
from nudge_sync.console.rendering import render_page
from nudge_sync.console.shield import Shield
from nudge_sync.errors import ConfigError, DatabaseError, InputError, NudgeSyncError

_LOGGER = logging.getLogger("nudge_sync")
PAGES = (
    session_router,
    overview_router,
    plan_router,
    point_router,
    trial_router,
    feedback_router,
    revisions_router,
    experiment_router,
    actions_router,
    jobs_router,
)
STATIC_FILES = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_LOOK_FILE = "look.css"
"""Colours and type, which the evaluation report shares."""


def create_console_app(console: Console) -> FastAPI:
    """Return the application that shows `console`; it writes nothing without an acting token."""
    app = FastAPI(
        title="nudge-sync console",
        version=version("nudge-sync"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.console = console
    app.add_middleware(Shield, list_hosts=console.list_hosts)
    for router in PAGES:
        app.include_router(router)
    _add_files(app)
    _add_error_pages(app)
    return app


def _add_files(app: FastAPI) -> None:
    static_folder = files("nudge_sync.console").joinpath("static")
    contents = {
        name: (static_folder.joinpath(name).read_bytes(), media_type)
        for name, media_type in STATIC_FILES.items()
    }
    shared_style = files("nudge_sync.evaluate").joinpath(_LOOK_FILE).read_bytes()
    contents[_LOOK_FILE] = (shared_style, "text/css")

    @app.get("/static/{name}", include_in_schema=False)
    def send_file(name: str) -> Response:
        if name not in contents:
            raise HTTPException(HTTPStatus.NOT_FOUND, "no such file")
        content, media_type = contents[name]
        return Response(content, media_type=media_type)

    @app.get("/openapi.json", include_in_schema=False)
    def describe_api(_visitor: VisitorDependency) -> JSONResponse:
        return JSONResponse(app.openapi())


def _add_error_pages(app: FastAPI) -> None:
    @app.exception_handler(SignInNeeded)
    async def ask_to_sign_in(request: Request, _error: Exception) -> Response:
        if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
            query = f"?{request.url.query}" if request.url.query else ""
            wanted = quote(request.scope["path"]) + query
            return RedirectResponse(f"/login?next={quote(wanted)}", HTTPStatus.SEE_OTHER)
        return _render_error(request, HTTPStatus.UNAUTHORIZED, "Sign in first.")

    @app.exception_handler(HTTPException)
    async def show_refusal(request: Request, error: HTTPException) -> Response:
        return _render_error(request, error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def show_invalid(request: Request, error: RequestValidationError) -> Response:
        fields = ", ".join(str(each["loc"][-1]) for each in error.errors()[:5])
        return _render_error(
            request, HTTPStatus.UNPROCESSABLE_ENTITY, f"The address is not usable: {fields}."
        )

    @app.exception_handler(NudgeSyncError)
    async def show_failure(request: Request, error: NudgeSyncError) -> Response:
        _LOGGER.warning("console: %s at %s", type(error).__name__, request.url.path[:100])
        return _render_error(request, choose_status(error), str(error))


def choose_status(error: NudgeSyncError) -> HTTPStatus:
    """Return the HTTP status of an error that was raised on purpose."""
    if isinstance(error, InputError):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, DatabaseError | ConfigError):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.CONFLICT


def _render_error(request: Request, status: int, message: str) -> Response:
    return render_page(
        request,
        "error.html.j2",
        status=status,
        title=HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error",
        message=message,
    )
