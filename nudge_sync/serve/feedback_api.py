"""Feedback over HTTP: POST /v1/searches and /v1/events."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

from nudge_sync.errors import ConfigError, InputError, NudgeSyncError
from nudge_sync.feedback.ingest.batches import BatchImporter, RowKind, parse_body
from nudge_sync.feedback.ingest.importer import RowsRefused
from nudge_sync.feedback.ingest.report import ImportReport
from nudge_sync.feedback.schema.rows import BadRow
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.openapi import describe_route
from nudge_sync.serve.probes import is_authorised
from nudge_sync.serve.prometheus import PrometheusMetrics

MAX_BODY_BYTES = 16 * 2**20
MAX_BATCH_ROWS = 10_000
_RETRY_HEADERS = {"Retry-After": "5"}
_CLIENT_CLOSED_REQUEST = 499
"""What nginx's log calls it; nobody is there to be answered."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken at once, and how long is waited, in seconds."""

    max_batches: int = 32
    max_connections: int = 200
    """Of more, the oldest on which no request is under way is closed."""
    body_timeout: float = 30.0
    """From a request's head to the end of its body."""
    shutdown_timeout: int = 10
    """For the batches in hand, at the end."""


DEFAULT_LIMITS = Limits()


def create_app(
    batches: BatchImporter,
    token: str = "",
    gauges: PrometheusMetrics | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> FastAPI:
    """The application that stores what is posted to it; with a token, only for its bearers.

    gauges: told of every batch.
    """
    app = FastAPI(title="nudge-sync", version=version("nudge-sync"), docs_url=None, redoc_url=None)
    state = _ApiState(batches, token, gauges or PrometheusMetrics(), limits)
    _add_route(app, state, "search", "/v1/searches")
    _add_route(app, state, "event", "/v1/events")
    return app


@dataclass
class _ApiState:
    """Where batches are handed in; all of it but the storing happens on one thread."""

    batches: BatchImporter
    token: str
    gauges: PrometheusMetrics
    limits: Limits
    active_batches: int = field(default=0, init=False)

    @contextmanager
    def admit_batch(self) -> Iterator[None]:
        """Inside, one batch more is in hand. Raises HTTPException where there are too many."""
        if self.active_batches >= self.limits.max_batches:
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too many batches at once; send the batch again later",
                _RETRY_HEADERS,
            )
        self.active_batches += 1
        try:
            yield
        finally:
            self.active_batches -= 1


def _add_route(app: FastAPI, state: _ApiState, kind: RowKind, path: str) -> None:
    @app.post(path, name=f"store {path[4:]}", **describe_route(kind))
    async def store(
        request: Request,
        collection: str | None = None,
        partial: bool = False,  # noqa: FBT001, FBT002
    ) -> Response:
        name = ""
        try:
            _check_headers(request, state.token)
            name = _select_collection(collection, state.batches)
            with state.admit_batch():
                rows = _parse_batch(await _read_body(request, state.limits.body_timeout))
                response: Response = await run_in_threadpool(
                    _store_batch, state, name, kind, rows, partial=partial
                )
        except HTTPException as error:
            state.gauges.record_batch(name, kind, error.status_code)
            raise
        except ClientDisconnect:
            response = Response(status_code=_CLIENT_CLOSED_REQUEST)
        except asyncio.CancelledError:
            # The server ends and has waited long enough; the client is still there.
            response = _respond_unavailable("the daemon is ending; send the batch again later")
        state.gauges.record_batch(name, kind, response.status_code)
        return response


def _check_headers(request: Request, token: str) -> None:
    if not is_authorised(token, request.headers.get("authorization", "")):
        raise HTTPException(
            HTTPStatus.UNAUTHORIZED, "a bearer token is needed", {"WWW-Authenticate": "Bearer"}
        )
    # A page in somebody's browser can post any other type to this machine without being asked.
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if content_type.lower() != "application/json":
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "application/json is expected")


def _select_collection(collection: str | None, batches: BatchImporter) -> str:
    known = ", ".join(sorted(batches.vector_names))
    if collection is None:
        if len(batches.vector_names) == 1:
            return next(iter(batches.vector_names))
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"say ?collection=, one of: {known}")
    if collection not in batches.vector_names:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"no such collection; there are: {known}")
    return collection


async def _read_body(request: Request, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await _read_stream(request)
    except TimeoutError:
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body was not there within {seconds:g} seconds; send smaller batches",
            {"Connection": "close"},
        ) from None


async def _read_stream(request: Request) -> bytes:
    too_large = HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_BODY_BYTES} bytes a batch"
    )
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise too_large
    return bytes(body)


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
    state: _ApiState, name: str, kind: RowKind, rows: list[Any], *, partial: bool
) -> JSONResponse:
    try:
        report = state.batches.store(name, kind, rows, partial=partial)
    except RowsRefused as refusal:
        state.gauges.record_feedback_rows(name, kind, refusal.report.reasons)
        content = {"detail": str(refusal)} | _summarise(refusal.report, stored=False)
        return JSONResponse(content, HTTPStatus.UNPROCESSABLE_ENTITY)
    except InputError as error:
        return JSONResponse({"detail": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
    except NudgeSyncError as error:
        return _report_failure(name, error)
    except Exception as error:  # noqa: BLE001 - a traceback in the log may quote data
        log_message(
            logging.ERROR, "batch failed unexpectedly", collection=name, error=type(error).__name__
        )
        return _respond_internal_error()
    state.gauges.record_feedback_rows(name, kind, {"accepted": report.accepted, **report.reasons})
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
    # The reason may hold the database's address: the log has it, the client does not.
    error_name = type(error).__name__
    level = logging.WARNING if error.transient else logging.ERROR
    log_message(level, "batch not stored", collection=name, error=error_name, reason=str(error))
    if not error.transient:
        return _respond_internal_error()
    return _respond_unavailable("the database is busy or away; send the batch again later")


def _respond_unavailable(why: str) -> JSONResponse:
    return JSONResponse({"detail": why}, HTTPStatus.SERVICE_UNAVAILABLE, _RETRY_HEADERS)


def _respond_internal_error() -> JSONResponse:
    content = {"detail": "the batch could not be stored; the daemon's log says why"}
    return JSONResponse(content, HTTPStatus.INTERNAL_SERVER_ERROR)


def _build_connection_class(max_connections: int) -> type[H11Protocol]:
    """Connections of which, at more than so many, the oldest without a request gives way.

    uvicorn waits for a first request for ever, and its own limit closes nothing: it turns requests
    away while others are silent.
    """

    class Connection(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.since = self.loop.time()
            if len(self.connections) > max_connections:
                others = (one for one in self.connections if isinstance(one, Connection))
                waiting = (one for one in others if one is not self and one.is_waiting())
                min(waiting, key=lambda one: one.since, default=self).transport.close()

        def is_waiting(self) -> bool:
            answered = self.cycle is None or self.cycle.response_complete
            return answered and not self.transport.is_closing()

    return Connection


@contextmanager
def serve_feedback_api(
    host: str, port: int, app: FastAPI, limits: Limits = DEFAULT_LIMITS
) -> Iterator[int]:
    """Serve `app` in the background; gives the port. Raises ConfigError where it cannot be had.

    On leaving, batches in hand are stored.
    """
    listener = _listen(host, port)
    settings = uvicorn.Config(
        app,
        loop="asyncio",
        http=_build_connection_class(limits.max_connections),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=limits.max_connections,
        timeout_graceful_shutdown=limits.shutdown_timeout,
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, args=([listener],), name="intake", daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such host"
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}") from None
