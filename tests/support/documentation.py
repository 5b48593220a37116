"""The project's pages in Markdown, and the code in them."""

from __future__ import annotations

import re

from tests.support.source_code import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def read_page(name: str) -> str:
    """Return the text of a page, named from the repository's root."""
    return (ROOT / name).read_text(encoding="utf-8")


def find_code_blocks(text: str, language: str) -> list[str]:
    """Return the contents of a page's fenced blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def list_code(text: str) -> list[str]:
    """Return what a page shows as code: fenced blocks of any language, and code in a sentence."""
    fenced = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [*fenced, *re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]


def find_table(text: str, header: str) -> str:
    """Return the rows of the table whose first line begins with `header`."""
    table, *_ = text.partition(header)[2].split("\n\n")
    assert table, f"no table {header!r}"
    return table
