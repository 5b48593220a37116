"""Searches: through the index, and by brute force past it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from nudge_sync.connector import Float32, Hits, Metric, PointId, Points
from nudge_sync_milvus.client import STRONG, Connection, to_key_value_pairs
from nudge_sync_milvus.columns import unpack_floats
from nudge_sync_milvus.layout import Layout, VectorIndex, require_metric
from nudge_sync_milvus.query import MAX_QUERY_ROWS
from nudge_sync_milvus.settings import MilvusSettings

_MAX_REQUEST_QUERIES = 1_000
"""Queries of one request; Milvus takes 16,384."""
_MAX_REQUEST_BYTES = 16 * 1024 * 1024
"""Of the queries in one request."""
_MAX_RESPONSE_BYTES = 32 * 1024 * 1024
"""Of the hits in one answer, by the estimate below."""
_HIT_BYTES = 80
"""A score and a key of moderate length."""
_MIN_EF = 512
"""How many neighbours HNSW visits at least."""
_MAX_EF = 32_768
"""How many Milvus lets it visit."""
_THOROUGH_HITS = 4096
"""Hits for which an IVF index goes through all its lists: whoever asks for so many wants the best
of them for certain."""
_FULL_PRECISION_INDEXES = frozenset({"FLAT", "IVF_FLAT", "HNSW", "AUTOINDEX", "DISKANN", ""})
"""Indexes whose scores come from the stored vectors."""


def search_index(
    connection: Connection,
    layout: Layout,
    index: VectorIndex,
    queries: Float32,
    k: int,
    *,
    settings: MilvusSettings,
    read: Callable[[Sequence[PointId]], Points],
) -> Hits:
    """Return the `k` best points of each query, (q, d), as the index finds them.

    read: what `Collection.read` does. Where the index is quantised, twice as many points are
    asked for, and scored again from their stored vectors.
    """
    metric = require_metric(layout, index)
    hit_count = count_hits(index, k)
    params = choose_search_params(index, hit_count, settings.ef, settings.search_params)
    hits = Hits([], [])
    for batch in split_queries(queries, hit_count):
        request = build_search_request(layout, index, batch, hit_count, params)
        batch_hits = parse_hits(connection.call("Search", request).results, metric)
        if is_quantised(index):
            batch_hits = rescore(batch_hits, batch, k, metric, read)
        hits.ids.extend(batch_hits.ids)
        hits.scores.extend(batch_hits.scores)
    return hits


def count_hits(index: VectorIndex, k: int) -> int:
    """Return how many hits to ask for: more than `k` where they have to be scored again."""
    return min(MAX_QUERY_ROWS, 2 * k) if is_quantised(index) else k


def is_quantised(index: VectorIndex) -> bool:
    """Return whether the index's scores come from less than the stored vectors."""
    return index.kind not in _FULL_PRECISION_INDEXES


def rescore(
    hits: Hits,
    queries: Float32,
    k: int,
    metric: Metric,
    read: Callable[[Sequence[PointId]], Points],
) -> Hits:
    """Return the `k` best of the hits of each query, by the vectors that are stored."""
    points = read(list({key: None for keys in hits.ids for key in keys}))
    row_by_id = {key: row for row, key in enumerate(points.ids)}
    rescored = Hits([], [])
    for query, keys in zip(queries, hits.ids, strict=True):
        known_keys = [key for key in keys if key in row_by_id]
        vectors = points.vectors[[row_by_id[key] for key in known_keys]]
        scores = compute_scores(query[None, :], vectors.reshape(-1, queries.shape[1]), metric)[0]
        order = np.argsort(-scores, kind="stable")[:k]
        rescored.ids.append([known_keys[row] for row in order])
        rescored.scores.append(scores[order])
    return rescored


def choose_search_params(
    index: VectorIndex, k: int, ef: int | None, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """Return how thoroughly to search: Milvus's own defaults lose most of the neighbours.

    HNSW visits at least 512 and four times k (or `ef`), an IVF index an eighth of its lists, or all
    of them for a very wide answer.
    overrides: the index's own parameters, which win.
    """
    kind = index.kind
    if kind.startswith("HNSW") or kind == "AUTOINDEX":
        params: dict[str, Any] = {"ef": min(_MAX_EF, max(k, ef or max(_MIN_EF, 4 * k)))}
    elif kind.startswith("IVF") or kind == "SCANN":
        lists = int(index.params.get("nlist", "128"))
        share = lists if k >= _THOROUGH_HITS else max(16, lists // 8)
        params = {"nprobe": max(1, min(lists, share))}
        if kind == "SCANN":
            params["reorder_k"] = 4 * k
    elif kind == "DISKANN":
        params = {"search_list": max(128, 2 * k)}
    else:
        params = {}
    return {**params, **overrides}


def split_queries(queries: Float32, k: int) -> Iterable[Float32]:
    """Return `queries` in runs whose request and answer each fit one message."""
    query_bytes = queries.shape[1] * queries.itemsize
    query_limit = min(
        _MAX_REQUEST_QUERIES,
        _MAX_REQUEST_BYTES // query_bytes,
        _MAX_RESPONSE_BYTES // (_HIT_BYTES * k),
    )
    batch_size = max(1, query_limit)
    return (queries[start : start + batch_size] for start in range(0, len(queries), batch_size))


def build_search_request(
    layout: Layout,
    index: VectorIndex,
    queries: Float32,
    k: int,
    params: Mapping[str, Any],
    *,
    filter_: str = "",
) -> Any:
    """Return one search for all of `queries`, keys alone, that sees every write.

    filter_: an expression in Milvus's language, or "" for every row.
    """
    values = [row.tobytes() for row in np.ascontiguousarray(queries, dtype="<f4")]
    placeholder = common_pb2.PlaceholderValue(
        tag="$0", type=common_pb2.PlaceholderType.FloatVector, values=values
    )
    options = {
        "anns_field": layout.vector,
        "topk": str(k),
        "metric_type": index.metric,
        "params": json.dumps(dict(params)),
        "round_decimal": "-1",
        "ignore_growing": "False",
    }
    return milvus_pb2.SearchRequest(
        collection_name=layout.collection,
        dsl=filter_,
        dsl_type=common_pb2.DslType.BoolExprV1,
        placeholder_group=common_pb2.PlaceholderGroup(
            placeholders=[placeholder]
        ).SerializeToString(),
        search_params=to_key_value_pairs(options),
        nq=len(queries),
        consistency_level=STRONG,
    )


def parse_hits(results: Any, metric: Metric) -> Hits:
    """Return the hits in one answer, with scores that grow with nearness."""
    kind = results.ids.WhichOneof("id_field")
    keys = list(getattr(results.ids, kind).data) if kind else []
    # The scores are packed like a FloatArray's, under another field number.
    scores = unpack_floats(schema_pb2.FloatArray(data=results.scores))
    hits = Hits([], [])
    start = 0
    for count in results.topks:
        hits.ids.append(keys[start : start + count])
        hits.scores.append(to_scores(scores[start : start + count], metric))
        start += count
    return hits


def to_scores(scores: Float32, metric: Metric) -> Float32:
    """Return Milvus's scores as `Hits` has them: its L2 is the squared distance."""
    if metric != "euclid":
        return np.array(scores, dtype=np.float32)
    return np.asarray(-np.sqrt(np.maximum(scores, 0)), dtype=np.float32)


def compute_scores(queries: Float32, vectors: Float32, metric: Metric) -> Float32:
    """Return (q, n): the score of each query against each vector, as `Hits` has them."""
    query_doubles, vector_doubles = queries.astype(np.float64), vectors.astype(np.float64)
    products = query_doubles @ vector_doubles.T
    if metric == "dot":
        return np.asarray(products, dtype=np.float32)
    query_norms, vector_norms = (
        np.einsum("ij,ij->i", query_doubles, query_doubles),
        np.einsum("ij,ij->i", vector_doubles, vector_doubles),
    )
    if metric == "cosine":
        norms = np.sqrt(query_norms)[:, None] * np.sqrt(vector_norms)[None, :]
        cosines = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
        return np.asarray(cosines, dtype=np.float32)
    squared = query_norms[:, None] + vector_norms[None, :] - 2 * products
    return np.asarray(-np.sqrt(np.maximum(squared, 0)), dtype=np.float32)


def search_exact(queries: Float32, k: int, metric: Metric, batches: Iterable[Points]) -> Hits:
    """Return the `k` best points of each query, from every vector, one batch at a time."""
    ids: list[PointId] = []
    best_rows = np.empty((len(queries), 0), dtype=np.int64)
    best_scores = np.empty((len(queries), 0), dtype=np.float32)
    for batch in batches:
        scores = compute_scores(queries, batch.vectors, metric)
        rows = np.broadcast_to(np.arange(len(ids), len(ids) + len(batch)), scores.shape)
        ids.extend(batch.ids)
        best_rows, best_scores = _select_best(
            np.hstack([best_rows, rows]), np.hstack([best_scores, scores]), k
        )
    order = np.argsort(-best_scores, axis=1, kind="stable")
    return Hits(
        [[ids[row] for row in rows[best]] for rows, best in zip(best_rows, order, strict=True)],
        [scores[best] for scores, best in zip(best_scores, order, strict=True)],
    )


def _select_best(
    rows: NDArray[np.int64], scores: Float32, k: int
) -> tuple[NDArray[np.int64], Float32]:
    if scores.shape[1] <= k:
        return rows, scores
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return np.take_along_axis(rows, top, axis=1), np.take_along_axis(scores, top, axis=1)
