"""The routes POST /v1/rank and POST /v1/search, beside those that take feedback."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from nudge_sync.errors import InputError, NudgeSyncError
from nudge_sync.experiment.ranked import Ranked
from nudge_sync.serve.experiments.bodies import (
    RankBody,
    SearchBody,
    parse_search_body,
    summarise_ranked,
)
from nudge_sync.serve.experiments.service import ExperimentService
from nudge_sync.serve.feedback_api import (
    CLIENT_CLOSED_REQUEST,
    DEFAULT_LIMITS,
    RETRY_HEADERS,
    Limits,
    check_headers,
    read_body,
    select_collection,
)
from nudge_sync.serve.log_lines import log_message
from nudge_sync.serve.openapi import describe_ranking_route
from nudge_sync.serve.prometheus import PrometheusMetrics

_Rank = Callable[[str, bytes], tuple[Ranked, int]]


def add_experiment_routes(
    app: FastAPI,
    service: ExperimentService,
    token: str = "",
    metrics: PrometheusMetrics | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Add the routes to the application that takes feedback.

    token: what a request has to bear, or "" for none; metrics: counts every list by arm.
    """
    counted = metrics or PrometheusMetrics()

    def rank(name: str, content: bytes) -> tuple[Ranked, int]:
        return service.rank(name, parse_search_body(RankBody, content).to_request())

    def search(name: str, content: bytes) -> tuple[Ranked, int]:
        body = parse_search_body(SearchBody, content)
        return service.search(name, body.to_request(), body.filter)

    def add_route(path: str, model: type[RankBody | SearchBody], respond: _Rank) -> None:
        @app.post(path, name=path[4:], **describe_ranking_route(model.model_json_schema()))
        async def answer(request: Request, collection: str | None = None) -> Response:
            check_headers(request, token)
            name = select_collection(collection, service.importer)
            try:
                content = await read_body(request, limits.body_timeout)
            except ClientDisconnect:
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            return await run_in_threadpool(_respond, respond, name, content, counted)

    add_route("/v1/rank", RankBody, rank)
    add_route("/v1/search", SearchBody, search)


def _respond(rank: _Rank, name: str, content: bytes, metrics: PrometheusMetrics) -> Response:
    try:
        ranked, depth = rank(name, content)
    except InputError as error:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    except Exception as error:  # noqa: BLE001 - a traceback in the log might quote data
        return _report_failure(name, error)
    metrics.record_ranking(name, ranked.arm, ranked.fallback)
    return JSONResponse(summarise_ranked(ranked, depth))


def _report_failure(name: str, error: Exception) -> JSONResponse:
    is_transient = getattr(error, "transient", False)
    # For the log alone: the reason may contain the database's address.
    reason: dict[str, Any] = {"reason": str(error)} if isinstance(error, NudgeSyncError) else {}
    level = logging.WARNING if is_transient else logging.ERROR
    log_message(level, "search failed", collection=name, error=type(error).__name__, **reason)
    if is_transient:
        content = {"detail": "the database is busy or away; search by yourself, or again later"}
        return JSONResponse(content, HTTPStatus.SERVICE_UNAVAILABLE, RETRY_HEADERS)
    content = {"detail": "the search failed; the daemon's log says why"}
    return JSONResponse(content, HTTPStatus.INTERNAL_SERVER_ERROR)
