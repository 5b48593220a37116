"""Which vector is meant, from what a collection says of its vectors in JSON."""

from __future__ import annotations

import pytest

from nudge_sync.errors import UnsupportedCollection
from nudge_sync_qdrant_common.layout import build_layout

COSINE = {"size": 4, "distance": "Cosine"}


def test_the_only_vector_is_the_default():
    layout = build_layout("docs", "", {"title": {**COSINE, "datatype": "float32"}}, [])
    assert (layout.vector, layout.dimension, layout.metric) == ("title", 4, "cosine")
    assert (layout.precision, layout.problems) == ("float32", ())


def test_problems_of_the_vector_come_before_those_of_the_collection():
    layout = build_layout("docs", "a", {"a": {**COSINE, "datatype": "uint8"}}, [], ["another"])
    assert layout.precision == "uint8"
    assert 'vector "a" of "docs" is stored as uint8' in layout.problems[0]
    assert layout.problems[1:] == ("another",)


@pytest.mark.parametrize(
    ("vector", "dense", "message"),
    [
        ("", {"b": COSINE, "a": COSINE}, 'no default vector.*"a", "b"'),
        ("c", {"a": COSINE}, 'no vector "c".*"a"'),
        ("words", {"a": COSINE}, "sparse vector"),
        ("a", {"a": {"size": 4, "distance": "Manhattan"}}, "Manhattan"),
        ("a", {"a": {**COSINE, "multivector_config": {"comparator": "max_sim"}}}, "multi-vector"),
    ],
)
def test_vectors_that_are_refused(vector, dense, message):
    with pytest.raises(UnsupportedCollection, match=message):
        build_layout("docs", vector, dense, ["words"])
