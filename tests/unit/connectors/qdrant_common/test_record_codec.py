"""Records as payloads, and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord, InputError
from nudge_sync_qdrant_common import record_codec

SCALARS = st.one_of(
    st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)
DOCUMENTS = st.recursive(
    st.one_of(SCALARS, st.none()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.text(min_size=1), st.dictionaries(st.text(), DOCUMENTS, max_size=6))
def test_records_come_back_from_payloads(key, document):
    stored = json.loads(json.dumps(record_codec.encode_record(Record(key, document))))
    assert record_codec.decode_record(stored, None) == Record(key, document)


@given(st.text(), SCALARS, SCALARS)
def test_terms_are_equal_where_values_are(name, left, right):
    alike = type(left) is type(right) and left == right
    numbers = not isinstance(left, bool | str) and not isinstance(right, bool | str)
    if alike or (numbers and left == right and abs(left) < 2**53):
        assert record_codec.encode_term(name, left) == record_codec.encode_term(name, right)
    elif left != right or isinstance(left, bool) != isinstance(right, bool):
        assert record_codec.encode_term(name, left) != record_codec.encode_term(name, right)


@pytest.mark.parametrize("document", [{"a": float("nan")}, {"a": {1}}, {"a": object()}])
def test_what_json_cannot_hold(document):
    with pytest.raises(InputError, match="not JSON"):
        record_codec.encode_record(Record("key", document))


@pytest.mark.parametrize("stored", [{}, {"key": '"a"'}, {"key": "{", "document": "{}"}])
def test_damaged_payloads_are_named(stored):
    with pytest.raises(DamagedRecord):
        record_codec.decode_record(stored, None)


def test_where_becomes_terms_and_ranges():
    where = {"kind": "x", "revision": (3, float("inf")), "live": True}
    assert record_codec.to_terms(where) == ['["kind", "x"]', '["live", true]']
    assert record_codec.to_ranges(where) == [("at.f_revision", 3.0, None)]
    assert record_codec.build_number_path("a.b") == "at.x_612e62"


def test_a_long_term_is_stored_as_its_digest():
    left, right = (record_codec.encode_term("kind", "x" * 300 + end) for end in "ab")
    assert left.startswith("sha256:")
    assert left != right
