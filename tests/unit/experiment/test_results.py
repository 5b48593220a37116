"""Results of each client, read as ids and scores that grow with nearness."""

from uuid import UUID

import numpy as np
import pytest
from pymilvus.client.search_result import Hit
from qdrant_client.models import ScoredPoint

from nudge_sync.errors import InputError
from nudge_sync.experiment.results import read_id, read_results


def read(results, metric="cosine"):
    listed = read_results(results, metric, is_complete=False).listed
    return listed.ids, listed.scores


def test_pairs_and_mappings_have_scores_that_grow_with_nearness():
    assert read([(7, 0.9), ("x", 0.5)]) == ([7, "x"], [0.9, 0.5])
    assert read([[7, -0.1], [8, -0.5]], "euclid") == ([7, 8], [-0.1, -0.5])
    assert read([{"id": 7, "score": 0.9}]) == ([7], [0.9])


def test_points_of_qdrant_have_its_distances():
    points = [ScoredPoint(id=7, version=0, score=1.5), ScoredPoint(id=8, version=0, score=2.0)]
    assert read(points, "euclid") == ([7, 8], [-1.5, -2.0])
    assert read(points[::-1], "dot") == ([8, 7], [2.0, 1.5])


def test_hits_of_milvus_have_squared_distances():
    hits = [
        Hit({"pk": 7, "distance": 4.0, "entity": {}}, pk_name="pk"),
        Hit({"pk": 8, "distance": 9.0, "entity": {}}, pk_name="pk"),
    ]
    assert read(hits, "euclid") == ([7, 8], [-2.0, -3.0])
    assert read(hits[::-1], "dot") == ([8, 7], [9.0, 4.0])
    assert read([{"id": "a", "distance": 0.25}], "euclid") == (["a"], [-0.5])


def test_ids_are_plain_integers_and_strings():
    uuid = UUID(int=5)
    assert [read_id(item) for item in (np.int64(3), uuid, "a", (4, 1.0), {"id": 5})] == [
        3,
        str(uuid),
        "a",
        4,
        5,
    ]


@pytest.mark.parametrize(
    "results",
    [
        [object()],
        [(1, 0.5, "three")],
        [{"id": 1}],
        [{"score": 1.0}],
        [(1.5, 0.5)],
        [(True, 0.5)],
        [(1, float("nan"))],
        [(1, 0.5), (2, 0.9)],
        ["17"],
    ],
)
def test_anything_else_is_refused(results):
    with pytest.raises((InputError, TypeError, ValueError)):
        read(results)
