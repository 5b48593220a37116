"""Which vector of a collection is meant, and what stands in the way of writing it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from nudge_sync.connector import Metric
from nudge_sync.errors import UnsupportedCollection

_METRICS: dict[str, Metric] = {"Cosine": "cosine", "Dot": "dot", "Euclid": "euclid"}
"""Qdrant's distances that nudge-sync knows."""
OVERSAMPLING = 2.0
"""How many times as many points as asked for a quantised index finds, to be scored again from the
stored vectors."""
_FULL_PRECISION = "float32"
"""The one datatype that keeps a float32 bit for bit; Qdrant's default."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One dense vector of a collection."""

    vector: str
    """"" for the collection's default vector."""
    dimension: int
    metric: Metric
    precision: str
    """How a component is stored: float32, float16 or uint8."""
    problems: tuple[str, ...]
    """See `CollectionFacts.problems`."""


def build_layout(
    name: str,
    vector: str,
    dense: Mapping[str, Mapping[str, Any]],
    sparse: Collection[str],
    problems: Collection[str] = (),
) -> Layout:
    """Return the layout of `vector`; "" is the default one, or the only one there is.

    dense: what the collection `name` says of each dense vector, in Qdrant's own JSON.
    sparse: the names of its sparse vectors. problems: those that concern the whole collection.
    Raises UnsupportedCollection for a vector that is not there, sparse, a multi-vector or of
    another distance.
    """
    vector_name = next(iter(dense)) if not vector and len(dense) == 1 else vector
    if vector_name not in dense:
        raise UnsupportedCollection(_explain_missing_vector(name, vector_name, dense, sparse))
    params = dense[vector_name]
    subject = f'vector "{vector_name}" of "{name}"'
    if params.get("multivector_config"):
        raise UnsupportedCollection(
            f"{subject} is a multi-vector; a single dense vector a point would work"
        )
    if params["distance"] not in _METRICS:
        raise UnsupportedCollection(
            f"{subject} uses {params['distance']} distance; Cosine, Dot and Euclid would work"
        )
    precision = str(params.get("datatype") or _FULL_PRECISION)
    return Layout(
        vector=vector_name,
        dimension=int(params["size"]),
        metric=_METRICS[params["distance"]],
        precision=precision,
        problems=(*_list_precision_problems(subject, precision), *problems),
    )


def _list_precision_problems(subject: str, precision: str) -> list[str]:
    if precision == _FULL_PRECISION:
        return []
    lossy = f"{subject} is stored as {precision}, which keeps no float32 bit for bit"
    return [f"{lossy}; a float32 vector would work"]


def _explain_missing_vector(
    name: str, vector: str, dense: Collection[str], sparse: Collection[str]
) -> str:
    known = ", ".join(json.dumps(each) for each in sorted(dense)) or "none"
    if vector in sparse:
        return (
            f'"{vector}" of "{name}" is a sparse vector, which cannot be turned; '
            f"its dense vectors: {known}"
        )
    if not vector:
        return f'"{name}" has no default vector; say which of its vectors to use: {known}'
    return f'"{name}" has no vector "{vector}"; it has: {known}'
