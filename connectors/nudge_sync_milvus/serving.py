"""Searches as an application's own client makes them: one request each, at default consistency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymilvus.exceptions import MilvusException
from pymilvus.grpc_gen import milvus_pb2

from nudge_sync.connector import Float32, Hits, PointId, Points, check_queries
from nudge_sync.errors import DatabaseError, InputError
from nudge_sync_milvus.client import Connection
from nudge_sync_milvus.filters import build_keys_filter, join_filters, split_keys
from nudge_sync_milvus.layout import (
    Layout,
    VectorIndex,
    describe_index,
    require_metric,
    resolve_layout,
)
from nudge_sync_milvus.query import MAX_QUERY_ROWS, parse_rows, to_ref
from nudge_sync_milvus.search import (
    build_search_request,
    choose_search_params,
    count_hits,
    is_quantised,
    parse_hits,
    rescore,
)
from nudge_sync_milvus.settings import MilvusSettings


@dataclass(frozen=True, slots=True)
class _Known:
    """What the first call found out."""

    layout: Layout
    index: VectorIndex


class SearchServer:
    """Answers single searches of one collection.

    What the collection is, is asked once, and again after an error. Requests go by the name that
    the application uses, so that they follow an alias.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        vector: str,
        settings: MilvusSettings,
        read: Callable[[Sequence[PointId]], Points],
    ) -> None:
        self._connection, self._name, self._vector = connection, name, vector
        self._settings, self._read = settings, read
        self._known: _Known | None = None

    def search(self, query: Float32, k: int, filter_: str) -> Hits:
        """See `ServingCollection.serve_search`."""
        known = self._get_known()
        metric = require_metric(known.layout, known.index)
        check_queries(query[None], known.layout.dimension)
        if k < 1:
            return Hits([[]], [np.empty(0, np.float32)])
        hit_count = count_hits(known.index, min(k, MAX_QUERY_ROWS))
        params = choose_search_params(
            known.index, hit_count, self._settings.ef, self._settings.search_params
        )
        request = build_search_request(
            known.layout, known.index, query[None], hit_count, params, filter_=filter_
        )
        request.collection_name = self._name
        request.use_default_consistency = True
        hits = parse_hits(self._call("Search", request, filter_).results, metric)
        if is_quantised(known.index):
            return rescore(hits, query[None], k, metric, self._read)
        # An answer without any hit names no query either.
        return hits if hits.ids else Hits([[]], [np.empty(0, np.float32)])

    def select_ids(self, ids: Sequence[PointId], filter_: str) -> list[PointId]:
        """See `ServingCollection.select_ids`."""
        layout = self._get_known().layout
        ref = to_ref(layout)
        selected: list[PointId] = []
        possible_ids = [id_ for id_ in ids if layout.is_possible_id(id_)]
        for keys in split_keys(possible_ids, MAX_QUERY_ROWS):
            request = milvus_pb2.QueryRequest(
                collection_name=self._name,
                expr=join_filters(build_keys_filter(ref.key_field, keys), filter_),
                output_fields=[ref.key_field],
                use_default_consistency=True,
            )
            selected += parse_rows(ref, self._call("Query", request, filter_)).keys
        return selected

    def _get_known(self) -> _Known:
        if self._known is None:
            layout = resolve_layout(self._connection, self._name, self._vector)
            self._known = _Known(layout, describe_index(self._connection, layout))
        return self._known

    def _call(self, method: str, request: object, filter_: str) -> Any:
        try:
            return self._connection.call(method, request)
        except DatabaseError as error:
            self._known = None
            cause = error.__cause__
            if filter_ and type(error) is DatabaseError and isinstance(cause, MilvusException):
                # What Milvus refuses for good, and has no other name for, is the filter.
                reason = cause.message
                raise InputError(f"Milvus refuses a request with this filter: {reason}") from error
            raise


def check_expression(filter_: Any) -> str:
    """Return a filter as Milvus has it, "" for None. Raises InputError unless it is a text."""
    if filter_ is None or isinstance(filter_, str):
        return filter_ or ""
    raise InputError("a filter of Milvus is an expression, such as: year > 2020")
