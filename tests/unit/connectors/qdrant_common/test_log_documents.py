"""A point of an application's own collection as a record."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from nudge_sync_qdrant_common.log_documents import select_vectors, to_log_document


@pytest.mark.parametrize(
    ("stored", "vector", "values"),
    [
        ([1.0, 2.0], "", [1.0, 2.0]),
        ({"title": [1.0, 2.0]}, "", [1.0, 2.0]),
        ({"title": [1.0, 2.0]}, "title", [1.0, 2.0]),
        ({"title": [1.0, 2.0]}, "body", None),
        ({"title": [1.0], "body": [2.0]}, "", None),
        ([[1.0], [2.0]], "", None),
        ([1.0, 2.0], None, None),
        (None, "", None),
    ],
)
def test_the_vector_that_is_asked_for(stored, vector, values):
    record = to_log_document(SimpleNamespace(id=7, payload={"a": 1}, vector=stored), vector)
    assert (record.key, record.document) == ("7", {"a": 1})
    if values is None:
        assert record.vector is None
    else:
        assert record.vector.dtype == np.float32
        assert record.vector.tolist() == values


def test_what_a_scroll_brings_along():
    assert [select_vectors(each) for each in (None, "", "title")] == [False, True, ["title"]]
