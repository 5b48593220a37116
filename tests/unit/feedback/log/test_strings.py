"""Packed strings come back, and sort as Python sorts them."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.feedback.log.strings import PackedStrings, PackedStringsBuilder

PIECES = ["a", "b", "\0", "ä", "\ud800", "\udfff", "\ue000", "😀", "a long common beginning "]
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), max_size=40)


@given(TEXTS)
def test_strings_come_back_and_sort_as_python_sorts_them(strings):
    builder = PackedStringsBuilder()
    for start in range(0, len(strings), 7):
        builder.add(strings[start : start + 7])
    packed = builder.build()
    assert list(packed) == strings
    sorted_strings, order = packed.sort()
    assert list(sorted_strings) == sorted(strings)
    assert order.tolist() == sorted(range(len(strings)), key=strings.__getitem__)


@given(TEXTS, st.data())
def test_strings_of_some_rows_are_as_if_they_alone_had_been_packed(strings, data):
    packed = PackedStrings.pack(strings)
    rows = data.draw(st.lists(st.integers(0, len(strings) - 1)) if strings else st.just([]))
    taken = packed.take(np.array(rows, np.int64))
    expected = [strings[row] for row in rows]
    assert list(taken) == expected
    again = PackedStrings.from_columns(*taken.to_columns())
    assert list(again) == expected
    for hashes in (taken.hash(), again.hash(), PackedStrings.pack(expected).hash()):
        assert hashes.tobytes() == packed.hash()[rows].tobytes()


@given(TEXTS)
def test_only_equal_strings_have_equal_hashes(strings):
    assert len(set(PackedStrings.pack(strings).hash().tolist())) == len(set(strings))


def test_strings_of_any_length_are_hashed_by_all_of_their_bytes():
    texts = ["x" * length for length in range(2000)]
    texts += [f"{'x' * place}y{'x' * (1999 - place)}" for place in range(2000)]
    first = PackedStrings.pack(texts[:20]).hash()
    hashes = PackedStrings.pack(texts).hash()
    assert len(set(hashes.tolist())) == len(texts)
    assert hashes[:20].tobytes() == first.tobytes()
    bits = np.unpackbits(hashes.view(np.uint8)).reshape(-1, 64)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.06


def test_hashes_of_other_processes_differ():
    imported = "from nudge_sync.feedback.log.strings import PackedStrings"
    code = f"{imported}; print(PackedStrings.pack(['a']).hash())"
    printed = {subprocess.check_output([sys.executable, "-c", code]) for _ in range(2)}
    assert len(printed) == 2
