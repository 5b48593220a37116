"""Packed strings come back, and sort as Python sorts them."""

from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.feedback.log.strings import PackedStringsBuilder

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
