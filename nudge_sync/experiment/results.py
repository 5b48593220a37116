"""Results as applications have them: of a client, or as pairs of an id and a score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, sqrt
from typing import Any
from uuid import UUID

import numpy as np

from nudge_sync.connector import Metric, PointId
from nudge_sync.errors import InputError
from nudge_sync.experiment.merge import Listed


@dataclass(frozen=True, slots=True)
class AppliedResults:
    """An application's results, and what they say."""

    listed: Listed
    items: list[Any]
    """The results as they came, in their order."""


def read_results(results: Iterable[Any], metric: Metric, *, is_complete: bool) -> AppliedResults:
    """Return what the results of a search say, whatever client they came from.

    Each is one of: qdrant-client's or qdrant-edge's `ScoredPoint`; pymilvus's `Hit`, or a mapping
    with `id` and `distance`; a mapping with `id` and `score`; a pair of an id and a score. Of
    Euclidean distance each client has its own form, Qdrant the distance and Milvus its square; the
    scores of pairs and of mappings with `score` grow with nearness, so there it is minus the
    distance. Raises InputError for anything else, and for results that are not best first.
    """
    items = list(results)
    pairs = [_read_result(item, metric) for item in items]
    scores = [score for _, score in pairs]
    if not all(map(isfinite, scores)):
        raise InputError("a result has no finite score")
    # Engines sort before they round, so that neighbours may be the wrong way round by a bit.
    if any(later > score + _slack(score) for score, later in pairwise(scores)):
        raise InputError("the results do not come best first")
    return AppliedResults(Listed([id_ for id_, _ in pairs], scores, is_complete), items)


def read_id(item: Any) -> PointId:
    """Return the id of a result, or of a point as a client returns it. Raises InputError."""
    if isinstance(item, int | str | UUID | np.integer):
        return _to_point_id(item)
    if isinstance(item, tuple):
        return _to_point_id(item[0])
    value = getattr(item, "id", None)
    if value is None and isinstance(item, Mapping):
        value = item.get("id")
    return _to_point_id(value)


def _read_result(item: Any, metric: Metric) -> tuple[PointId, float]:
    if isinstance(item, tuple | list) and len(item) == 2:  # noqa: PLR2004 - id and score
        return _to_point_id(item[0]), float(item[1])
    if isinstance(item, Mapping):
        distance = item.get("distance")
        if distance is not None:
            return read_id(item), _read_milvus_score(float(distance), metric)
        score = item.get("score")
    else:
        score = getattr(item, "score", None)
        if score is not None and metric == "euclid":
            score = -score
    if score is None:
        raise InputError(f"a result should be a pair (id, score) or a client's; got {type(item)}")
    return read_id(item), float(score)


def _read_milvus_score(distance: float, metric: Metric) -> float:
    return -sqrt(max(distance, 0.0)) if metric == "euclid" else distance


def _to_point_id(value: Any) -> PointId:
    if type(value) is int or type(value) is str:
        return value
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InputError(f"a result has no id that is an integer or a string: {value!r}"[:200])
    return value


def _slack(score: float) -> float:
    return 1e-5 * max(1.0, abs(score))
