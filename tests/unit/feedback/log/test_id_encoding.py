"""Ids and names as numbers, found again by them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.feedback.log import id_encoding
from nudge_sync.feedback.log.id_encoding import IdEncoder, IntegerInterner, StringInterner
from nudge_sync.feedback.schema.point_ids import sort_ids


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5), max_size=20)))
def test_numbers_stay_the_same_as_more_codes_come(batches):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(id_encoding, "_MAX_NEW_CODES", 6)
        patch.setattr(id_encoding, "_INSERTED_AT_A_TIME", 3)
        check_numbers(batches)


def check_numbers(batches):
    interner, expected = IntegerInterner(), {}
    for batch in batches:
        numbers, new_rows = interner.encode(np.array(batch, np.int64))
        for row in new_rows.tolist():
            assert expected.setdefault(batch[row], len(expected)) == len(expected) - 1
        assert numbers.tolist() == [expected[code] for code in batch]
    assert interner.codes().tolist() == list(expected)
    assert interner.look_up(np.array([6], np.int64)).tolist() == [expected.get(6, -1)]


def test_names_are_found_again_by_their_numbers():
    names = StringInterner()
    numbers = [*names.encode(["b", "a", "b"]), *names.encode(["c", "a"])]
    sorted_names, rows = names.take_sorted()
    assert list(sorted_names) == ["a", "b", "c"]
    assert [sorted_names[row] for row in rows[numbers]] == ["b", "a", "b", "c", "a"]


def test_ids_of_every_kind_are_found_again_and_stand_in_the_fixed_order():
    ids = [10, "10", 2**62, -1, "a", 2, 2**70, 10, 2**24]
    encoder = IdEncoder()
    numbers = [*encoder.encode(ids[:1]), *encoder.encode(ids[1:])]
    sorted_ids, rows = encoder.sort()
    assert [sorted_ids[row] for row in rows[numbers]] == ids
    assert sorted_ids == sort_ids(ids)
