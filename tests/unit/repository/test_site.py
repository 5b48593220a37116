"""What `make docs` builds, as far as it can be seen without Sphinx."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
STATIC = DOCS / "site" / "static"


def test_the_index_leads_to_every_page():
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    linked = {(DOCS / link).resolve() for link in re.findall(r"\]\((\S+\.md)\)", text)}
    folders = (ROOT, DOCS, DOCS / "experiments", DOCS / "feedback")
    pages = {
        *(page for folder in folders for page in folder.glob("*.md")),
        DOCS / "adr" / "index.md",
    }
    assert linked == pages - {DOCS / "index.md"}


def test_the_table_of_sources_leads_to_every_source():
    text = (DOCS / "feedback" / "sources.md").read_text(encoding="utf-8")
    linked = {(DOCS / "feedback" / link).resolve() for link in re.findall(r"\]\((\S+\.md)\)", text)}
    assert set((DOCS / "feedback" / "sources").glob("*.md")) <= linked


def test_mermaid_is_the_file_that_the_decision_names():
    text = (DOCS / "adr" / "0014-documentation-site.md").read_text(encoding="utf-8")
    content = (STATIC / "vendor" / "mermaid.tiny.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() in text


def test_pages_load_nothing_from_other_hosts():
    files = [path for path in (DOCS / "site").rglob("*") if path.suffix in {".js", ".css", ".html"}]
    own_files = [path for path in files if path.parent.name != "vendor"]
    assert len(own_files) > 2
    for path in own_files:
        assert "://" not in path.read_text(encoding="utf-8"), path
