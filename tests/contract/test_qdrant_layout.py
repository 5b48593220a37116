"""Which vector of a Qdrant collection is meant, and how large a request about it may be."""

from __future__ import annotations

import pytest

pytest.importorskip("qdrant_client")

from nudge_sync.errors import UnsupportedCollection
from nudge_sync_qdrant.layout import resolve_layout
from nudge_sync_qdrant.query import compute_query_limit, compute_row_limit
from tests.support.collection_info import COSINE, make_collection_info


def test_layouts_that_fit():
    assert resolve_layout("docs", "", make_collection_info(COSINE)).vector == ""
    assert resolve_layout("docs", "", make_collection_info({"title": COSINE})).vector == "title"
    layout = resolve_layout(
        "docs", "b", make_collection_info({"a": COSINE, "b": {"size": 3, "distance": "Euclid"}})
    )
    assert (layout.vector, layout.dimension, layout.metric) == ("b", 3, "euclid")


@pytest.mark.parametrize(
    ("vector", "vectors", "message"),
    [
        ("", {"a": COSINE, "b": COSINE}, 'no default vector.*"a", "b"'),
        ("c", {"a": COSINE, "b": COSINE}, 'no vector "c".*"a", "b"'),
        ("words", {"a": COSINE}, '"words" of "docs" is a sparse vector.*"a"'),
        ("", {"size": 4, "distance": "Manhattan"}, "Manhattan.*Cosine, Dot and Euclid"),
        ("a", {"a": {**COSINE, "multivector_config": {"comparator": "max_sim"}}}, "multi-vector"),
        ("", None, "no default vector.*none"),
    ],
)
def test_layouts_that_do_not(vector, vectors, message):
    with pytest.raises(UnsupportedCollection, match=message):
        resolve_layout("docs", vector, make_collection_info(vectors, sparse={"words": {}}))


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        (
            make_collection_info({**COSINE, "datatype": "float16"}),
            'vector "" of "docs" is stored as float16',
        ),
        (make_collection_info({**COSINE, "datatype": "uint8"}), "uint8"),
        (make_collection_info(COSINE, sharding="custom"), "shard key"),
        (make_collection_info(COSINE, prevent_unoptimized=True), "prevent_unoptimized"),
    ],
)
def test_problems(info, problem):
    (listed,) = resolve_layout("docs", "", info).problems
    assert problem in listed
    assert "would work" in listed


def test_requests_are_bounded():
    assert compute_row_limit(384, make_collection_info(COSINE)) == 992
    assert compute_row_limit(4, make_collection_info(COSINE)) == 1000
    assert compute_row_limit(500_000, make_collection_info(COSINE)) == 1
    strict = {"enabled": True, "upsert_max_batchsize": 50}
    assert compute_row_limit(4, make_collection_info(COSINE, strict=strict)) == 50
    assert compute_query_limit(make_collection_info(COSINE, strict=strict)) == 64
    strict = {"enabled": True, "search_max_batchsize": 8}
    assert compute_query_limit(make_collection_info(COSINE, strict=strict)) == 8
    strict = {"enabled": False, "search_max_batchsize": 8}
    assert compute_query_limit(make_collection_info(COSINE, strict=strict)) == 64
