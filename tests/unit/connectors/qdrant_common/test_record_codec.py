"""Records as payloads, and back."""

from __future__ import annotations

import hashlib
import json
from uuid import UUID

import pytest
from hypothesis import assume, given
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


@given(st.text(), SCALARS, SCALARS)
def test_what_a_filter_asks_for_is_what_equal_values_have_stored(name, stored, wanted):
    payload = record_codec.encode_record(Record("key", {name: stored}))
    number = payload["at"].get(next(iter(payload["at"]), ""))
    where = {name: wanted}
    is_found = all(term in payload["is"] for term in record_codec.to_terms(where)) and all(
        number is not None and low <= number < high
        for _, low, high in record_codec.to_ranges(where)
    )
    is_number = not isinstance(stored, bool | str) and not isinstance(wanted, bool | str)
    if isinstance(stored, bool) != isinstance(wanted, bool) or stored != wanted:
        assert not is_found
    elif type(stored) is type(wanted) or (is_number and abs(stored) < 2**53):
        assert is_found


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_no_record_holds_are_terms_that_none_has(value):
    assert record_codec.to_ranges({"time": value}) == []
    assert len(record_codec.to_terms({"time": value})) == 1


@pytest.mark.parametrize("time", [1.7e9 + 0.25, 1_700_000_000, 1_700_000_000_000])
def test_times_have_no_term(time):
    payload = record_codec.encode_record(Record("key", {"time": time, "kind": "x", "revision": 3}))
    assert len(payload["is"]) == 2
    assert payload["at"] == {"f_time": time, "f_revision": 3}


@pytest.mark.parametrize("document", [{"a": float("nan")}, {"a": {1}}, {"a": object()}])
def test_what_json_cannot_hold(document):
    with pytest.raises(InputError, match="not JSON"):
        record_codec.encode_record(Record("key", document))


@given(st.text(alphabet='ab"\\ \x07\x7f\u00e9[]{}1', max_size=6))
def test_a_key_is_what_json_says_or_damaged(text):
    for stored in (text, f'"{text}"'):
        try:
            key = json.loads(stored)
        except ValueError:
            key = None
        if isinstance(key, str):
            payload = {"key": stored, "document": "{}"}
            assert record_codec.decode_record(payload, None) == Record(key, {})
        else:
            with pytest.raises(DamagedRecord):
                record_codec.decode_record({"key": stored, "document": "{}"}, None)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"key": '"a"'},
        {"key": "{", "document": "{}"},
        {"key": ["a"], "document": "{}"},
        {"key": '"a"', "document": None},
        {"key": '"a"', "document": "{} {}"},
        {"key": '"a"', "document": "[]"},
    ],
)
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


@given(st.text(max_size=20), st.one_of(st.text(max_size=40), st.integers(), st.booleans()))
def test_a_term_is_the_json_of_field_and_value(name, value):
    text = json.dumps([name, value])
    assume(len(text) <= 200)

    assert record_codec.encode_term(name, value) == text


@given(st.text(max_size=60))
def test_a_key_becomes_a_uuid_of_version_5_from_its_sha256(key):
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()

    assert record_codec.hash_key(key) == str(UUID(bytes=digest[:16], version=5))


class Label(str):
    """Text that JSON writes as text, but that is not plain `str`."""

    __slots__ = ()


@pytest.mark.parametrize("value", [Label("a"), ("a", "b"), ["a"], {"a": 1}, None, 1.5, -0.0, True])
def test_what_is_filtered_on_is_what_will_be_read(value):
    payload = record_codec.encode_record(Record("k", {"field": value, "plain": "x"}))

    read = json.loads(payload["document"])
    scalars = {n: v for n, v in read.items() if isinstance(v, str | int | float)}
    assert payload["is"] == record_codec.to_terms(scalars)
