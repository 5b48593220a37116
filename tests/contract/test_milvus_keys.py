"""Primary keys of every kind find, move and scan the point they name, and no other one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pymilvus")

from nudge_sync.connector import Points
from nudge_sync.testing.engine import unit_rows
from tests.support.milvus_collections import make_collection

HOSTILE = [
    "",
    "a",
    "it's",
    'say "x"',
    "back\\slash",
    "\\",
    "\\'",
    '\\"',
    "new\nline\r\n\ttab",
    "nul\0inside",
    'x" or key != "',
    "' or '1' == '1",
    "\\u0041",
    "{x} $meta %_*",
    "../../etc/passwd",
    "grüße 漢字 🜚 \u202e\u2028",
    "k" * 65_000,
]


def test_hostile_keys(connect_milvus):
    collection, vectors = make_collection(connect_milvus(), HOSTILE)
    found = collection.read(HOSTILE)
    assert found.ids == HOSTILE
    assert np.array_equal(found.vectors, vectors)
    for key, vector in zip(HOSTILE, vectors, strict=True):
        assert collection.read([key]).ids == [key]
        assert collection.search(vector[None], 1).ids == [[key]]
    assert sorted(key for part in collection.scan(5) for key in part.ids) == sorted(HOSTILE)
    assert collection.read(["it", "nowhere", "a'", '"', "k" * 70_000, "\ud800"]).ids == []
    new = unit_rows(len(HOSTILE), seed=2, dimension=8)
    assert collection.write(Points(HOSTILE, new), vectors).written == HOSTILE
    assert np.array_equal(collection.read(HOSTILE).vectors, new)
    assert collection.describe().points == len(HOSTILE)


def test_integer_keys_at_the_edges(connect_milvus):
    ids = [-(2**63), -(2**63) + 1, -1, 0, 1, 2**53 + 1, 2**63 - 2]
    collection, vectors = make_collection(connect_milvus(), ids)
    assert collection.read(ids).ids == ids
    assert sorted(key for part in collection.scan(2) for key in part.ids) == ids
    new = unit_rows(len(ids), seed=2, dimension=8)
    assert collection.write(Points(ids, new), vectors).written == ids
    assert np.array_equal(collection.read(ids).vectors, new)
