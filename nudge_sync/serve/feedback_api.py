"""The HTTP API that takes feedback: POST /v1/searches and /v1/events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.requests import ClientDisconnect

from nudge_sync.console.shield import is_known_host
from nudge_sync.errors import InputError, NudgeSyncError
from nudge_sync.feedback.ingest.batches import BatchImporter, RowKind, parse_body
from nudge_sync.feedback.ingest.importer import RowsRefused
from nudge_sync.feedback.ingest.report import ImportReport
from nudge_sync.feedback.schema.values import BadRow
from nudge_sync.serve.docs_page import render_docs
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.openapi import describe_route
from nudge_sync.serve.probes import TOKEN_VARIABLE, is_authorised
from nudge_sync.serve.prometheus import PrometheusMetrics

MAX_BODY_BYTES = 16 * 2**20
MAX_BATCH_ROWS = 10_000
RETRY_HEADERS = {"Retry-After": "5"}
"""Of an answer that says to come again."""
CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that left before it was answered; used in the metrics alone."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the API takes at once, and how long it waits."""

    max_batches: int = 32
    """Batches in hand at once; a further one is answered with 503."""
    max_connections: int = 200
    """Open connections; beyond them the oldest that has no request under way is closed."""
    body_timeout: float = 30.0
    """Seconds from a request's head to the end of its body."""
    shutdown_timeout: int = 10
    """Seconds that the batches in hand have when the server stops."""


DEFAULT_LIMITS = Limits()


def create_app(
    importer: BatchImporter,
    token: str = "",
    metrics: PrometheusMetrics | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> FastAPI:
    """Return the application that stores the batches posted to it.

    token: what a request has to bear, or "" for none; metrics: counts every batch and row.
    """
    app = FastAPI(
        title="nudge-sync",
        version=version("nudge-sync"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    limiter = ConcurrencyLimiter(limits.max_batches)
    context = _Context(
        importer, token, metrics or PrometheusMetrics(), limiter, limits.body_timeout
    )
    _add_route(app, context, "search", "/v1/searches")
    _add_route(app, context, "event", "/v1/events")
    _add_description(app, token)
    return app


def _add_description(app: FastAPI, token: str) -> None:
    """Add `/openapi.json` and `/docs`, behind the token where one is set."""

    @app.get("/openapi.json", include_in_schema=False)
    def describe_api(request: Request) -> JSONResponse:
        check_token(request, token)
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    def show_docs(request: Request) -> HTMLResponse:
        check_token(request, token)
        return HTMLResponse(render_docs(app.openapi()))


@dataclass(slots=True)
class ConcurrencyLimiter:
    """A count of the batches in hand, which turns more than `max_batches` away.

    It needs no lock: the event loop alone counts, and only storing leaves its thread.
    """

    max_batches: int
    active_batches: int = field(default=0, init=False)

    @contextmanager
    def admit_batch(self) -> Iterator[None]:
        """Count a batch while the block runs. Raises HTTPException if there are too many."""
        if self.active_batches >= self.max_batches:
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too many batches at once; send the batch again later",
                RETRY_HEADERS,
            )
        self.active_batches += 1
        try:
            yield
        finally:
            self.active_batches -= 1


@dataclass(frozen=True, slots=True)
class _Context:
    """What the routes share."""

    importer: BatchImporter
    token: str
    metrics: PrometheusMetrics
    limiter: ConcurrencyLimiter
    body_timeout: float


def _add_route(app: FastAPI, context: _Context, kind: RowKind, path: str) -> None:
    @app.post(path, name=f"store {path[4:]}", **describe_route(kind))
    async def store(
        request: Request,
        collection: str | None = None,
        partial: bool = False,  # noqa: FBT001, FBT002
    ) -> Response:
        name = ""
        try:
            check_headers(request, context.token)
            name = select_collection(collection, context.importer)
            with context.limiter.admit_batch():
                rows = _parse_batch(await read_body(request, context.body_timeout))
                response: Response = await run_in_threadpool(
                    _store_batch, context, name, kind, rows, partial=partial
                )
        except HTTPException as error:
            context.metrics.record_batch(name, kind, error.status_code)
            raise
        except ClientDisconnect:
            response = Response(status_code=CLIENT_CLOSED_REQUEST)
        except asyncio.CancelledError:
            # The server stops and has waited `shutdown_timeout`; the client is still there.
            response = _respond_unavailable("the daemon is ending; send the batch again later")
        context.metrics.record_batch(name, kind, response.status_code)
        return response


def check_token(request: Request, token: str) -> None:
    """Raise HTTPException unless a request bears the token, where there is one.

    Without one, a request has to name this machine by an address or as localhost: a browser that
    shows a page of another site names that site.
    """
    if not token and not is_known_host(request.headers.get("host", "")):
        raise HTTPException(
            HTTPStatus.FORBIDDEN,
            "without a token, only requests to an IP address or to localhost are answered; "
            f"set {TOKEN_VARIABLE} in the daemon's environment, and send it, to use another name",
        )
    if not is_authorised(token, request.headers.get("authorization", "")):
        raise HTTPException(
            HTTPStatus.UNAUTHORIZED, "a bearer token is needed", {"WWW-Authenticate": "Bearer"}
        )


def check_headers(request: Request, token: str) -> None:
    """Raise HTTPException unless a request bears the token and says that it is JSON."""
    check_token(request, token)
    # A web page can make a browser post other types to this machine without a CORS check.
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if content_type.lower() != "application/json":
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "application/json is expected")


def select_collection(collection: str | None, importer: BatchImporter) -> str:
    """Return the collection that a request means. Raises HTTPException where that is not clear."""
    known = ", ".join(sorted(importer.vector_names))
    if collection is None:
        if len(importer.vector_names) == 1:
            return next(iter(importer.vector_names))
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"say ?collection=, one of: {known}")
    if collection not in importer.vector_names:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"no such collection; there are: {known}")
    return collection


async def read_body(request: Request, timeout_seconds: float) -> bytes:
    """Return the body of a request. Raises HTTPException if it is too long or too slow."""
    length = request.headers.get("content-length", "0")
    _check_body_size(int(length) if length.isdecimal() else 0)
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_seconds):
            async for part in request.stream():
                body += part
                _check_body_size(len(body))
    except TimeoutError:
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body was not there within {timeout_seconds:g} seconds; send smaller batches",
            {"Connection": "close"},
        ) from None
    return bytes(body)


def _check_body_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_BODY_BYTES} bytes a batch"
        )


def _parse_batch(body: bytes) -> list[Any]:
    try:
        rows = parse_body(body)
    except BadRow as bad:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(bad)) from None
    if len(rows) > MAX_BATCH_ROWS:
        raise HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_BATCH_ROWS} rows a batch"
        )
    return rows


def _store_batch(
    context: _Context, name: str, kind: RowKind, rows: list[Any], *, partial: bool
) -> JSONResponse:
    try:
        report = context.importer.store(name, kind, rows, partial=partial)
    except RowsRefused as refusal:
        context.metrics.record_feedback_rows(name, kind, refusal.report.reasons)
        content = {"detail": str(refusal)} | _summarise(refusal.report, stored=False)
        return JSONResponse(content, HTTPStatus.UNPROCESSABLE_ENTITY)
    except InputError as error:
        return JSONResponse({"detail": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
    except NudgeSyncError as error:
        return _report_failure(name, error)
    except Exception as error:  # noqa: BLE001 - a traceback in the log might quote data
        log_message(
            logging.ERROR, "batch failed unexpectedly", collection=name, error=type(error).__name__
        )
        return _respond_internal_error()
    context.metrics.record_feedback_rows(
        name, kind, {"accepted": report.accepted, **report.reasons}
    )
    return JSONResponse(_summarise(report, stored=True))


def _summarise(report: ImportReport, *, stored: bool) -> dict[str, Any]:
    names = ("accepted", "unchanged", "without_search") if stored else ()
    counts = {name: getattr(report, name) for name in (*names, "rejected")}
    refused_rows = [
        {"row": row.line, "reason": bad.reason, "detail": bad.detail}
        for row, bad in report.refusals
    ]
    return counts | {"refused": refused_rows}


def _report_failure(name: str, error: NudgeSyncError) -> JSONResponse:
    # For the log alone: the reason may contain the database's address.
    error_name = type(error).__name__
    level = logging.WARNING if error.transient else logging.ERROR
    log_message(level, "batch not stored", collection=name, error=error_name, reason=str(error))
    if not error.transient:
        return _respond_internal_error()
    return _respond_unavailable("the database is busy or away; send the batch again later")


def _respond_unavailable(why: str) -> JSONResponse:
    return JSONResponse({"detail": why}, HTTPStatus.SERVICE_UNAVAILABLE, RETRY_HEADERS)


def _respond_internal_error() -> JSONResponse:
    content = {"detail": "the batch could not be stored; the daemon's log says why"}
    return JSONResponse(content, HTTPStatus.INTERNAL_SERVER_ERROR)
