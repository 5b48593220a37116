"""The documentation site: README, docs/ and the other pages of the root, as they stand.

`make docs` builds it into build/docs. The source directory is the repository itself, so that a link
which works in an editor or on a code host works on the site too.
"""

from __future__ import annotations

import html
import re
from importlib.metadata import version as version_of
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

project = "nudge-sync"
author = "the authors of nudge-sync"
project_copyright = f"{author}, Apache-2.0"
version = release = version_of("nudge-sync")
language = "en"

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md"]
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
suppress_warnings = ["myst.header"]
nitpicky = True
highlight_language = "none"

html_theme = "furo"
html_title = "nudge-sync"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_use_index = False
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_js_files = ["diagrams.js"]
html_extra_path = ["site/root"]


FOLDERS = {"docs/adr/index": "0*", "docs/feedback/sources": "sources/*"}
"""Page that is the index of a folder -> the pages in it."""


class Mermaid(Directive):
    """A diagram, drawn in the browser by the copy of Mermaid in docs/site/static/vendor."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the source of the diagram, as Mermaid looks for it."""
        source = html.escape("\n".join(self.content))
        return [nodes.raw("", f'<div class="mermaid">{source}</div>', format="html")]


def add_contents(_app: Sphinx, page: str, source: list[str]) -> None:
    """Append the table of contents to an index: all in its folder, or what a section links to.

    In the file it would be noise to whoever reads it as plain Markdown.
    """
    if page in FOLDERS:
        source[0] += toctree(":glob:", [FOLDERS[page]])
    elif page == root_doc:
        for section in source[0].split("\n## ")[1:]:
            links = re.findall(r"\[(.+?)\]\((\S+)\.md\)", section)
            # A leading slash is the source directory: a page of the root.
            pages = [
                f"{title[0].upper()}{title[1:]} <{link.replace('../', '/')}>"
                for title, link in links
            ]
            source[0] += toctree(f":caption: {section.splitlines()[0]}", pages)


def toctree(option: str, pages: list[str]) -> str:
    """Return a table of contents that only the navigation shows."""
    return "\n".join(["\n\n```{toctree}", ":hidden:", option, "", *pages, "```\n"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the directive and the table of contents known to Sphinx."""
    app.add_directive("mermaid", Mermaid)
    app.connect("source-read", add_contents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
