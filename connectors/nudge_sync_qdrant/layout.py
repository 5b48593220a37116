"""Which vector of a collection is meant, and what stands in the way of writing it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from qdrant_client.models import CollectionInfo, Datatype, Distance, ShardingMethod, VectorParams

from nudge_sync.connector import Metric
from nudge_sync.errors import UnsupportedCollection

_METRICS: dict[Distance, Metric] = {
    Distance.COSINE: "cosine",
    Distance.DOT: "dot",
    Distance.EUCLID: "euclid",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """One dense vector of a collection."""

    vector: str
    """"" for the collection's default vector."""
    dimension: int
    metric: Metric
    precision: str
    problems: tuple[str, ...]


def resolve_layout(name: str, vector: str, info: CollectionInfo) -> Layout:
    """The layout of `vector`; "" is the default one, or the only one there is.

    Raises UnsupportedCollection for a vector that is not there, sparse, a multi-vector or of
    another distance.
    """
    dense = _list_dense_vectors(info)
    vector_name = next(iter(dense)) if not vector and len(dense) == 1 else vector
    if vector_name not in dense:
        sparse = sorted(info.config.params.sparse_vectors or {})
        raise UnsupportedCollection(
            _explain_missing_vector(name, vector_name, sorted(dense), sparse)
        )
    params = dense[vector_name]
    subject = f'vector "{vector_name}" of "{name}"'
    if params.multivector_config is not None:
        raise UnsupportedCollection(
            f"{subject} is a multi-vector; a single dense vector a point would work"
        )
    if params.distance not in _METRICS:
        raise UnsupportedCollection(
            f"{subject} uses {params.distance.value} distance; Cosine, Dot and Euclid would work"
        )
    precision = (params.datatype or Datatype.FLOAT32).value
    return Layout(
        vector=vector_name,
        dimension=params.size,
        metric=_METRICS[params.distance],
        precision=precision,
        problems=_list_problems(subject, name, precision, info),
    )


def _list_dense_vectors(info: CollectionInfo) -> dict[str, VectorParams]:
    vectors = info.config.params.vectors
    if vectors is None:
        return {}
    return vectors if isinstance(vectors, dict) else {"": vectors}


def _list_problems(
    subject: str, name: str, precision: str, info: CollectionInfo
) -> tuple[str, ...]:
    problems = []
    if precision != Datatype.FLOAT32.value:
        problems.append(
            f"{subject} is stored as {precision}, which keeps no float32 bit for bit; "
            "a float32 vector would work"
        )
    if info.config.params.sharding_method == ShardingMethod.CUSTOM:
        problems.append(
            f'"{name}" has custom sharding, where each write has to name its shard key; '
            "automatic sharding would work"
        )
    if info.config.optimizer_config.prevent_unoptimized:
        # From 1.17.1: reads then give older copies of points whose update waits for the index.
        problems.append(
            f'"{name}" has prevent_unoptimized set, under which an update that the application '
            "just made can be neither read nor compared, and so would be overwritten; without "
            "that setting it would work"
        )
    return tuple(problems)


def _explain_missing_vector(name: str, vector: str, dense: list[str], sparse: list[str]) -> str:
    known = ", ".join(json.dumps(each) for each in dense) or "none"
    if vector in sparse:
        return (
            f'"{vector}" of "{name}" is a sparse vector, which cannot be turned; '
            f"its dense vectors: {known}"
        )
    if not vector:
        return f'"{name}" has no default vector; say which of its vectors to use: {known}'
    return f'"{name}" has no vector "{vector}"; it has: {known}'
