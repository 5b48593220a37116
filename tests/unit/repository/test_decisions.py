"""docs/adr/: every decision is listed, has its four parts, and links to what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "adr"
DECISIONS = sorted(FOLDER.glob("0*.md"))


@pytest.mark.parametrize("number", range(len(DECISIONS)))
def test_a_decision_has_a_number_a_status_and_its_parts(number):
    page = DECISIONS[number]
    text = page.read_text(encoding="utf-8")
    assert page.name.startswith(f"{number + 1:04d}-")
    assert text.startswith(f"# {number + 1}. ")
    status = r"^Status: (proposed|accepted|superseded by \[\d+\]\(\S+\.md\))$"
    assert re.search(status, text, re.MULTILINE)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences"]


def test_every_decision_is_listed_in_order():
    text = (FOLDER / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d+)\. \[.+?\]\((\S+)\) \|", text, re.MULTILINE)
    assert listed == [(str(number), page.name) for number, page in enumerate(DECISIONS, 1)]


@pytest.mark.parametrize("page", [*DECISIONS, FOLDER / "index.md"], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`((?:nudge_sync|connectors|tests|docs)/[\w./-]*)`", text):
        # A path in a context may be one that was decided against.
        assert (ROOT / path).exists() or path in text.split("## Decision")[0], path
