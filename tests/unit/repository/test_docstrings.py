"""Each docstring stands alone, since an editor shows one at a time; and every module has one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.source_code import (
    EVERYTHING,
    list_docstrings,
    list_modules,
    parse_module,
    show_path,
)

LEANING = re.compile(r"\W*(the same|likewise|same as|ditto|see above|as above)\b", re.IGNORECASE)
"""How a docstring begins that says nothing without the one before it."""


def find_faults(tree: ast.Module) -> Iterator[str]:
    """Yield what is wrong with a module's docstrings, each with its line."""
    if not (ast.get_docstring(tree) or "").strip():
        yield "1: the module has no docstring"
    for line, text in list_docstrings(tree):
        if LEANING.match(text):
            yield f"{line}: leans on another docstring: {text.splitlines()[0]!r}"


@pytest.mark.parametrize("path", list_modules(*EVERYTHING), ids=show_path)
def test_each_docstring_stands_alone(path):
    assert [*find_faults(parse_module(path))] == []


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        '""" """',
        '"""A module."""\ndef f():\n    """The same, but sorted."""',
        '"""A module."""\nclass A:\n    """Likewise for classes."""',
        '"""A module."""\nX = 1\n"""Likewise."""',
        '"""A module."""\nclass A:\n    async def f(self):\n        """same as `g`."""',
    ],
)
def test_a_fault_would_be_seen(text):
    assert len([*find_faults(ast.parse(text))]) == 1


def test_what_may_stay():
    text = (
        '"""A module."""\ndef f():\n    """Return the same rows in another order."""\ndef g(): ...'
    )
    assert [*find_faults(ast.parse(text))] == []
