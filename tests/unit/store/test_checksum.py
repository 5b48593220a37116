"""Digests of vectors, of JSON and of records: any change shows, and the order of keys does not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord
from nudge_sync.store.checksum import (
    LineDigest,
    add_checksum,
    digest_bytes,
    digest_json,
    digest_vector,
    digest_vectors,
    verify_checksums,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
VECTOR = np.array([0.6, -0.8, 0.0], np.float32)
RECORD = add_checksum("1:7", {"id": 7, "revision": 1}, VECTOR)


def test_a_record_with_its_checksum_is_intact() -> None:
    bare = add_checksum("note", {"text": "no vector"})
    assert verify_checksums([RECORD, bare], "docs") == [RECORD, bare]
    assert RECORD.document["vector"] == digest_vector(VECTOR)


@pytest.mark.parametrize(
    "damaged",
    [
        replace(RECORD, key="1:8"),
        replace(RECORD, document={**RECORD.document, "id": 8}),
        replace(RECORD, document={**RECORD.document, "id": "7"}),
        replace(RECORD, document={**RECORD.document, "extra": None}),
        replace(RECORD, document={k: v for k, v in RECORD.document.items() if k != "seal"}),
        replace(RECORD, document={}),
        replace(RECORD, vector=-VECTOR),
        replace(RECORD, vector=VECTOR[:2]),
    ],
)
def test_any_change_is_refused_by_collection_and_key(damaged: Record) -> None:
    with pytest.raises(DamagedRecord, match=f'record {damaged.key!r} in "docs"'):
        verify_checksums([RECORD, damaged], "docs")


def test_the_document_is_checked_where_the_vector_was_not_read() -> None:
    assert verify_checksums([replace(RECORD, vector=None)], "docs")
    with pytest.raises(DamagedRecord):
        verify_checksums([replace(RECORD, vector=None, document={"id": 7})], "docs")


def test_json_has_one_digest_however_a_database_hands_it_back() -> None:
    left = {"a": [1.0, {"b": 2.5}], "c": None}
    right = {"c": None, "a": (1, {"b": 2.5})}
    assert digest_json(left) == digest_json(right)
    assert digest_json({"a": 1}) != digest_json({"a": "1"})
    assert len(digest_json(left)) == 32


def canonicalise(value: Any) -> Any:
    """Return what stands in the text that a digest is made of, by the rule and nothing else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: canonicalise(inner) for key, inner in value.items()}
    return [canonicalise(inner) for inner in value] if isinstance(value, list) else value


@given(JSON_VALUES)
@example({"a": {"b": [1.0, -0.0, 1e300, 0.1, True, None, "\ud800"]}})
def test_the_digest_is_that_of_canonical_json(content: Any) -> None:
    text = json.dumps(canonicalise(content), sort_keys=True, separators=(",", ":"))
    assert digest_json(content) == digest_bytes(text.encode("utf-8", "surrogatepass"))


def test_digests_that_databases_hold_stay_what_they_are() -> None:
    document = {"kind": "revision", "entry": {"number": 3, "live": [1.0, 0.25, None], "ok": True}}
    assert add_checksum("revision:00000003", document).document["seal"] == (
        "a3df27083ebb11f02ca7a625a5c48025"
    )


def test_a_vector_has_one_digest_whatever_its_memory() -> None:
    strided = np.repeat(VECTOR, 2)[::2]
    assert digest_vector(strided) == digest_vector(VECTOR.astype(">f4")) == digest_vector(VECTOR)
    assert digest_vectors(np.stack([VECTOR, -VECTOR])) == [*map(digest_vector, (VECTOR, -VECTOR))]
    assert digest_vector(np.float32([0.0])) != digest_vector(np.float32([-0.0]))


def test_lines_have_the_digest_of_their_text() -> None:
    lines = LineDigest("first")
    lines.add(b"second")
    lines.add(b"")
    assert lines.hexdigest() == digest_bytes(b"first\nsecond\n")
