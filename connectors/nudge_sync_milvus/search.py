from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from nudge_sync.connector import Float32, Hits, Metric, PointId, Points
from nudge_sync_milvus.client import STRONG, to_key_value_pairs
from nudge_sync_milvus.columns import unpack_floats
from nudge_sync_milvus.layout import Layout, VectorIndex

_MAX_REQUEST_QUERIES = 1_000
_MAX_REQUEST_BYTES = 16 * 1024 * 1024
_MAX_RESPONSE_BYTES = 32 * 1024 * 1024
_HIT_BYTES = 80
"""A score and a key of moderate length."""
_MIN_EF = 512
_MAX_EF = 32_768
FULL_PRECISION_INDEXES = frozenset({"FLAT", "IVF_FLAT", "HNSW", "AUTOINDEX", "DISKANN", ""})
"""Indexes whose scores come from the stored vectors."""


def choose_search_params(
    index: VectorIndex, k: int, ef: int | None, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """How thoroughly to search: Milvus's own defaults lose most of the neighbours.

    HNSW visits at least 512 and four times k, an IVF index an eighth of its lists.
    """
    kind = index.kind
    if kind.startswith("HNSW") or kind == "AUTOINDEX":
        params: dict[str, Any] = {"ef": min(_MAX_EF, max(k, ef or max(_MIN_EF, 4 * k)))}
    elif kind.startswith("IVF") or kind == "SCANN":
        lists = int(index.params.get("nlist", "128"))
        params = {"nprobe": max(1, min(lists, max(16, lists // 8)))}
        if kind == "SCANN":
            params["reorder_k"] = 4 * k
    elif kind == "DISKANN":
        params = {"search_list": max(128, 2 * k)}
    else:
        params = {}
    return {**params, **overrides}


def split_queries(queries: Float32, k: int) -> Iterable[Float32]:
    """`queries` in runs whose request and answer each fit one message."""
    query_bytes = queries.shape[1] * queries.itemsize
    query_limit = min(
        _MAX_REQUEST_QUERIES,
        _MAX_REQUEST_BYTES // query_bytes,
        _MAX_RESPONSE_BYTES // (_HIT_BYTES * k),
    )
    batch_size = max(1, query_limit)
    return (queries[start : start + batch_size] for start in range(0, len(queries), batch_size))


def build_search_request(
    layout: Layout, index: VectorIndex, queries: Float32, k: int, params: Mapping[str, Any]
) -> Any:
    """One search for all of `queries`, keys alone, that sees every write."""
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
        dsl_type=common_pb2.DslType.BoolExprV1,
        placeholder_group=common_pb2.PlaceholderGroup(
            placeholders=[placeholder]
        ).SerializeToString(),
        search_params=to_key_value_pairs(options),
        nq=len(queries),
        consistency_level=STRONG,
    )


def parse_hits(results: Any, metric: Metric) -> Hits:
    """The hits in one answer, with scores that grow with nearness."""
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
    """Milvus's scores, as the contract has them: its L2 is the squared distance."""
    if metric != "euclid":
        return np.array(scores, dtype=np.float32)
    return np.asarray(-np.sqrt(np.maximum(scores, 0)), dtype=np.float32)


def similarity(queries: Float32, vectors: Float32, metric: Metric) -> Float32:
    """Scores of each query against each vector, (q, n), as the contract has them."""
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
    """The exact `k` best points of each query, from every vector, one batch at a time."""
    ids: list[PointId] = []
    best_rows = np.empty((len(queries), 0), dtype=np.int64)
    best_scores = np.empty((len(queries), 0), dtype=np.float32)
    for batch in batches:
        scores = similarity(queries, batch.vectors, metric)
        rows = np.broadcast_to(np.arange(len(ids), len(ids) + len(batch)), scores.shape)
        ids.extend(batch.ids)
        best_rows, best_scores = _select_best(
            np.hstack([best_rows, rows]), np.hstack([best_scores, scores]), k
        )
    order = np.argsort(-best_scores, axis=1, kind="stable")
    return Hits(
        [[ids[row] for row in rows[order_]] for rows, order_ in zip(best_rows, order, strict=True)],
        [scores[order_] for scores, order_ in zip(best_scores, order, strict=True)],
    )


def _select_best(
    rows: NDArray[np.int64], scores: Float32, k: int
) -> tuple[NDArray[np.int64], Float32]:
    if scores.shape[1] <= k:
        return rows, scores
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return np.take_along_axis(rows, top, axis=1), np.take_along_axis(scores, top, axis=1)
