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
from nudge_sync.feedback.ingest.batches import Batches, Kind, rows_in
from nudge_sync.feedback.ingest.importer import RowsRefused
from nudge_sync.feedback.ingest.report import ImportReport
from nudge_sync.feedback.schema.rows import BadRow
from nudge_sync.serve.log_lines import say
from nudge_sync.serve.openapi import described
from nudge_sync.serve.probes import admitted
from nudge_sync.serve.prometheus import Gauges

MAX_BODY_BYTES = 16 * 2**20
MAX_ROWS = 10_000
_RETRY = {"Retry-After": "5"}
_CLIENT_LEFT = 499
"""What nginx's log calls it; nobody is there to be answered."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken at once, and how long is waited, in seconds."""

    batches: int = 32
    connections: int = 200
    """Of more, the oldest on which no request is under way is closed."""
    body: float = 30.0
    """From a request's head to the end of its body."""
    grace: int = 10
    """For the batches in hand, at the end."""


USUAL = Limits()


def application(
    batches: Batches,
    token: str = "",
    gauges: Gauges | None = None,
    limits: Limits = USUAL,
) -> FastAPI:
    """The application that stores what is posted to it; with a token, only for its bearers.

    gauges: told of every batch.
    """
    app = FastAPI(title="nudge-sync", version=version("nudge-sync"), docs_url=None, redoc_url=None)
    desk = _Desk(batches, token, gauges or Gauges(), limits)
    _add(app, desk, "search", "/v1/searches")
    _add(app, desk, "event", "/v1/events")
    return app


@dataclass
class _Desk:
    """Where batches are handed in; all of it but the storing happens on one thread."""

    batches: Batches
    token: str
    gauges: Gauges
    limits: Limits
    in_hand: int = field(default=0, init=False)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Inside, one batch more is in hand. Raises HTTPException where there are too many."""
        if self.in_hand >= self.limits.batches:
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too many batches at once; send the batch again later",
                _RETRY,
            )
        self.in_hand += 1
        try:
            yield
        finally:
            self.in_hand -= 1


def _add(app: FastAPI, desk: _Desk, kind: Kind, path: str) -> None:
    @app.post(path, name=f"store {path[4:]}", **described(kind))
    async def store(
        request: Request,
        collection: str | None = None,
        partial: bool = False,  # noqa: FBT001, FBT002
    ) -> Response:
        name = ""
        try:
            _refuse_strangers(request, desk.token)
            name = _chosen(collection, desk.batches)
            with desk.place():
                rows = _rows(await _whole(request, desk.limits.body))
                answer: Response = await run_in_threadpool(
                    _answer, desk, name, kind, rows, partial=partial
                )
        except HTTPException as refused:
            desk.gauges.batch(name, kind, refused.status_code)
            raise
        except ClientDisconnect:
            answer = Response(status_code=_CLIENT_LEFT)
        except asyncio.CancelledError:
            # The server ends and has waited long enough; the client is still there.
            answer = _later("the daemon is ending; send the batch again later")
        desk.gauges.batch(name, kind, answer.status_code)
        return answer


def _refuse_strangers(request: Request, token: str) -> None:
    if not admitted(token, request.headers.get("authorization", "")):
        raise HTTPException(
            HTTPStatus.UNAUTHORIZED, "a bearer token is needed", {"WWW-Authenticate": "Bearer"}
        )
    # A page in somebody's browser can post any other type to this machine without being asked.
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind.lower() != "application/json":
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "application/json is expected")


def _chosen(collection: str | None, batches: Batches) -> str:
    known = ", ".join(sorted(batches.vectors))
    if collection is None:
        if len(batches.vectors) == 1:
            return next(iter(batches.vectors))
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"say ?collection=, one of: {known}")
    if collection not in batches.vectors:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"no such collection; there are: {known}")
    return collection


async def _whole(request: Request, patience: float) -> bytes:
    try:
        async with asyncio.timeout(patience):
            return await _body(request)
    except TimeoutError:
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body was not there within {patience:g} seconds; send smaller batches",
            {"Connection": "close"},
        ) from None


async def _body(request: Request) -> bytes:
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


def _rows(body: bytes) -> list[Any]:
    try:
        rows = rows_in(body)
    except BadRow as bad:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(bad)) from None
    if len(rows) > MAX_ROWS:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_ROWS} rows a batch")
    return rows


def _answer(desk: _Desk, name: str, kind: Kind, rows: list[Any], *, partial: bool) -> JSONResponse:
    try:
        report = desk.batches.store(name, kind, rows, partial=partial)
    except RowsRefused as refused:
        desk.gauges.rows(name, kind, refused.report.reasons)
        content = {"detail": str(refused)} | _summary(refused.report, stored=False)
        return JSONResponse(content, HTTPStatus.UNPROCESSABLE_ENTITY)
    except InputError as error:
        return JSONResponse({"detail": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
    except NudgeSyncError as error:
        return _failed(name, error)
    except Exception as error:  # noqa: BLE001 - a traceback in the log may quote data
        say(logging.ERROR, "batch failed unexpectedly", collection=name, error=type(error).__name__)
        return _unexplained()
    desk.gauges.rows(name, kind, {"accepted": report.accepted, **report.reasons})
    return JSONResponse(_summary(report, stored=True))


def _summary(report: ImportReport, *, stored: bool) -> dict[str, Any]:
    names = ("accepted", "unchanged", "without_search") if stored else ()
    counts = {name: getattr(report, name) for name in (*names, "rejected")}
    refused = [
        {"row": row.line, "reason": bad.reason, "detail": bad.detail}
        for row, bad in report.refusals
    ]
    return counts | {"refused": refused}


def _failed(name: str, error: NudgeSyncError) -> JSONResponse:
    # The reason may hold the database's address: the log has it, the client does not.
    kind = type(error).__name__
    level = logging.WARNING if error.transient else logging.ERROR
    say(level, "batch not stored", collection=name, error=kind, reason=str(error))
    if not error.transient:
        return _unexplained()
    return _later("the database is busy or away; send the batch again later")


def _later(why: str) -> JSONResponse:
    return JSONResponse({"detail": why}, HTTPStatus.SERVICE_UNAVAILABLE, _RETRY)


def _unexplained() -> JSONResponse:
    content = {"detail": "the batch could not be stored; the daemon's log says why"}
    return JSONResponse(content, HTTPStatus.INTERNAL_SERVER_ERROR)


def _connections(most: int) -> type[H11Protocol]:
    """Connections of which, at more than so many, the oldest without a request gives way.

    uvicorn waits for a first request for ever, and its own limit closes nothing: it turns requests
    away while others are silent.
    """

    class Connection(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.since = self.loop.time()
            if len(self.connections) > most:
                others = (one for one in self.connections if isinstance(one, Connection))
                waiting = (one for one in others if one is not self and one.is_waiting())
                min(waiting, key=lambda one: one.since, default=self).transport.close()

        def is_waiting(self) -> bool:
            answered = self.cycle is None or self.cycle.response_complete
            return answered and not self.transport.is_closing()

    return Connection


@contextmanager
def taking(host: str, port: int, app: FastAPI, limits: Limits = USUAL) -> Iterator[int]:
    """Serve `app` in the background; gives the port. Raises ConfigError where it cannot be had.

    On leaving, batches in hand are stored.
    """
    listening = _listening(host, port)
    settings = uvicorn.Config(
        app,
        loop="asyncio",
        http=_connections(limits.connections),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=limits.connections,
        timeout_graceful_shutdown=limits.grace,
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, args=([listening],), name="intake", daemon=True)
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such host"
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}") from None
