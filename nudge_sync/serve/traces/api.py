"""The route POST /v1/traces, which answers in OTLP's own shape, and the thread beside it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from nudge_sync.errors import InputError, NudgeSyncError
from nudge_sync.serve.feedback_api import (
    CLIENT_CLOSED_REQUEST,
    DEFAULT_LIMITS,
    MAX_BATCH_ROWS,
    MAX_BODY_BYTES,
    RETRY_HEADERS,
    ConcurrencyLimiter,
    Limits,
    check_token,
    read_body,
)
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.openapi import describe_trace_route
from nudge_sync.serve.prometheus import TRACES_KIND, PrometheusMetrics
from nudge_sync.serve.traces.messages import (
    JSON,
    MEDIA_TYPES,
    PartialSuccess,
    decompress,
    encode_response,
    encode_status,
    read_spans,
)
from nudge_sync.serve.traces.receiver import TraceReceiver
from nudge_sync.source.openinference.spans import Span

_RELEASE_SECONDS = 1.0
"""How often waiting searches are looked at."""


def add_trace_route(
    app: FastAPI,
    receivers: Mapping[str, TraceReceiver],
    token: str = "",
    metrics: PrometheusMetrics | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Add the route to the application that takes feedback.

    receivers: by collection.  token: what a request has to bear, or "" for none.
    """
    counted = metrics or PrometheusMetrics()
    limiter = ConcurrencyLimiter(limits.max_batches)

    @app.post("/v1/traces", name="store traces", **describe_trace_route())
    async def store(request: Request, collection: str | None = None) -> Response:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        name = ""
        try:
            check_token(request, token)
            _check_media_type(media_type)
            receiver = _select_receiver(collection, receivers)
            name = receiver.name
            with limiter.admit_batch():
                spans = await _read_request(request, media_type, limits)
                outcome = await run_in_threadpool(_receive, receiver, spans, counted)
            response = Response(encode_response(outcome, media_type), media_type=media_type)
        except HTTPException as error:
            shape = media_type if media_type in MEDIA_TYPES else JSON
            response = Response(
                encode_status(str(error.detail), shape),
                error.status_code,
                error.headers,
                media_type=shape,
            )
        except ClientDisconnect:
            response = Response(status_code=CLIENT_CLOSED_REQUEST)
        counted.record_batch(name, TRACES_KIND, response.status_code)
        return response


@contextmanager
def release_waiting_searches(
    receivers: Mapping[str, TraceReceiver], metrics: PrometheusMetrics
) -> Iterator[None]:
    """Store searches that waited long enough while inside, and at the end all that wait."""
    is_over = threading.Event()

    def release() -> None:
        while not is_over.wait(_RELEASE_SECONDS):
            for receiver in receivers.values():
                _release(receiver, metrics, everything=False)

    thread = threading.Thread(target=release, name="waiting-searches", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        for receiver in receivers.values():
            _release(receiver, metrics, everything=True)


def _check_media_type(media_type: str) -> None:
    # A web page can make a browser post other types to this machine without a CORS check.
    if media_type not in MEDIA_TYPES:
        expected = " or ".join(MEDIA_TYPES)
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{expected} is expected")


def _select_receiver(name: str | None, receivers: Mapping[str, TraceReceiver]) -> TraceReceiver:
    receivers = {key: each for key, each in receivers.items() if each.is_configured}
    known = ", ".join(sorted(receivers))
    if name is None and len(receivers) == 1:
        return next(iter(receivers.values()))
    if name is None:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"say ?collection=, one of: {known}")
    if name not in receivers:
        raise HTTPException(
            HTTPStatus.NOT_FOUND, f"no such collection with [feedback.traces]; there are: {known}"
        )
    return receivers[name]


async def _read_request(request: Request, media_type: str, limits: Limits) -> list[Span]:
    body = await read_body(request, limits.body_timeout)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    try:
        content = decompress(body, encoding, MAX_BODY_BYTES)
        spans = await run_in_threadpool(read_spans, content, media_type)
    except InputError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from None
    if len(spans) > MAX_BATCH_ROWS:
        raise HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_BATCH_ROWS} spans a request"
        )
    return spans


def _receive(
    receiver: TraceReceiver, spans: list[Span], metrics: PrometheusMetrics
) -> PartialSuccess:
    """Store the spans. Raises HTTPException where that failed."""
    try:
        outcome = receiver.receive(spans)
    except Exception as error:  # noqa: BLE001 - a traceback in the log might quote data
        _log_failure(receiver.name, error)
        if not getattr(error, "transient", False):
            raise HTTPException(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "the spans could not be stored; the daemon's log says why",
            ) from None
        raise HTTPException(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the database is busy or away; send the spans again later",
            RETRY_HEADERS,
        ) from None
    counts = {"accepted": len(spans) - outcome.rejected, "rejected": outcome.rejected}
    metrics.record_feedback_rows(receiver.name, TRACES_KIND, counts)
    return outcome


def _release(receiver: TraceReceiver, metrics: PrometheusMetrics, *, everything: bool) -> None:
    try:
        outcome = receiver.release_due(everything=everything)
    except Exception as error:  # noqa: BLE001 - the next time may do better
        _log_failure(receiver.name, error)
        if not everything:
            return
        outcome = PartialSuccess(receiver.count_waiting(), "the daemon ended")
    if outcome.rejected:
        counts = {"rejected": outcome.rejected}
        metrics.record_feedback_rows(receiver.name, TRACES_KIND, counts)
        log_message(
            logging.WARNING,
            "searches of traces not stored",
            collection=receiver.name,
            count=outcome.rejected,
            reason=outcome.reason,
        )


def _log_failure(name: str, error: Exception) -> None:
    # A reason of our own is for the log alone; another's might quote data.
    reason: dict[str, Any] = {"reason": str(error)} if isinstance(error, NudgeSyncError) else {}
    level = logging.WARNING if getattr(error, "transient", False) else logging.ERROR
    log_message(level, "spans not stored", collection=name, error=type(error).__name__, **reason)
