"""Texts that strangers wrote, on every page that shows them: nothing of them becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from nudge_sync.connector import connect
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.store.hold import HoldRequest, place_hold
from nudge_sync.store.upkeep.audit import begin_audit_line, end_audit_line
from tests.support.console.console_site import ACTION_TOKEN, READ_TOKEN, open_console
from tests.support.sample_collection import POINTS, open_sample_collection

PAYLOADS = (
    "<script>alert(1)</script>",
    "</title><script src=//evil.example></script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<svg onload=alert(1)><animate onbegin=alert(1)>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<style>@import '//evil.example'</style>",
    "<base href='//evil.example'><form action='//evil.example'>",
    "{{ 7 * 7 }}{% print(7 * 7) %}${7*7}",
    "\u202e<script>\u2066 gnihton \u0000\u001b[31m",
    "]]><!--><script>alert(1)</script-->",
    "javascript:alert(1)",
    "x" * 50_000,
    "\ufdfd" * 2000,
)
ELEMENTS = {
    *("html", "head", "meta", "title", "link", "script", "noscript", "body", "a", "header", "svg"),
    *("circle", "path", "form", "input", "span", "bdi", "button", "div", "b", "nav", "main", "h1"),
    *("h2", "h3", "h4", "p", "section", "article", "dl", "dt", "dd", "ul", "ol", "li", "table"),
    *("thead", "tbody", "tr", "th", "td", "label", "footer", "code", "figure", "figcaption", "g"),
    *("rect", "line", "text", "defs", "marker", "progress"),
}
"""What the templates are made of: `style`, `img` and `base` are not among it."""


class Outline(HTMLParser):
    """The elements and attributes that a browser would see."""

    def __init__(self, text):
        super().__init__()
        self.faults, self.scripts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in ELEMENTS:
            self.faults.append(tag)
        if tag == "script":
            self.scripts.append(dict(attrs).get("src"))
        for name, value in attrs:
            address = (value or "").strip().lower()
            if name.startswith("on") or name == "style":
                self.faults.append(f"{tag} {name}")
            if name in {"href", "src", "action", "xlink:href", "formaction"}:
                is_ours = address.startswith(("/", "?", "#")) and not address.startswith("//")
                if not (is_ours or address.startswith("https://titles.example/")):
                    self.faults.append(f"{tag} {name}={value[:60]}")


def assert_harmless(page, path):
    outline = Outline(page.text)
    assert outline.faults == [], path
    assert [source.partition("?")[0] for source in outline.scripts] == ["/static/console.js"], path
    assert "\u202e" not in page.text
    assert "49" not in page.text.replace("7 * 7", "")[: page.text.find("</title>")]
    assert len(page.text) < 400_000, path


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    with open_sample_collection("memory", tmp_path_factory.mktemp("hostile")) as opened:
        store = opened.application.store
        payloads = [
            {
                "title": PAYLOADS[row % len(PAYLOADS)],
                "link": ("https://titles.example/a'\"><b>", "javascript:alert(1)")[row % 2],
            }
            for row in range(POINTS)
        ]
        store.upsert("docs", range(POINTS), opened.data.vectors, payloads)
        opened.add_judgements()
        target = opened.target()
        for row in range(len(opened.data.queries)):
            text = PAYLOADS[row % len(PAYLOADS)]
            query_id = f"{text[:500]} {row}".replace("\x00", "")
            vector, answer = opened.data.queries[row], opened.data.answers[row]
            search = Search(query_id, vector, text[:5000], 1_777_626_015.0, client_id=text[:500])
            target.queries.put([to_search_record(search)])
            events = [
                Event(query_id, "relevant", answer, grade=1.0, timestamp=1_777_626_016.0),
                Event(query_id, text[:200], answer, timestamp=1_777_626_017.0),
            ]
            target.events.put([to_event_record(event) for event in events])
        yield opened


@pytest.fixture(scope="module")
def site(sample):
    with open_console(sample) as opened:
        yield opened


def test_no_page_lets_a_text_become_markup(sample, site):
    client = site.browse(ACTION_TOKEN, PAYLOADS[2])
    site.compute_plan(client)
    place_hold(sample.target(), HoldRequest(PAYLOADS[0], PAYLOADS[4]))
    for row, text in enumerate(PAYLOADS):
        line = begin_audit_line(sample.target(), text, text, text, to=text, reason=text)
        if row % 2:
            end_audit_line(sample.target(), line, "failed", error=text)
    hostile_query = f"{PAYLOADS[2]} 2"
    paths = [
        ("/", {}),
        ("/c/docs/plan", {}),
        ("/c/docs/plan/searches", {"side": "won"}),
        ("/c/docs/plan/searches", {"side": "lost"}),
        ("/c/docs/plan/points", {"sort": "angle", "down": "1"}),
        ("/c/docs/feedback", {}),
        ("/c/docs/revisions", {}),
        ("/c/docs/try", {}),
        ("/c/docs/try", {"query": hostile_query}),
        ("/c/docs/point", {"id": "3"}),
        ("/c/docs/do/release", {}),
        ("/c/docs/do/apply", {}),
    ]
    for path, query in paths:
        client.get(path, params=query)
        site.wait_for_jobs()
        page = client.get(path, params=query)
        assert page.status_code == 200, (path, page.text[-500:])
        assert_harmless(page, path)


@pytest.mark.parametrize("text", PAYLOADS, ids=range(len(PAYLOADS)))
def test_what_an_address_says_is_no_markup_either(site, text):
    client = site.browse(READ_TOKEN)
    text = text[:2000]
    for path, query in (
        ("/c/docs/plan/points", {"search": text, "sort": text, "page": "2"}),
        ("/c/docs/point", {"id": text}),
        ("/c/docs/try", {"search": text}),
        ("/c/docs/try", {"query": text}),
        ("/c/docs/plan/points", {"page": text}),
        ("/c/docs/plan/searches", {"side": text}),
        ("/login", {"next": text}),
    ):
        client.get(path, params=query)
        site.wait_for_jobs()
        page = client.get(path, params=query)
        assert page.status_code < 500, path
        if page.status_code != 303:
            assert_harmless(page, path)


def test_the_secrets_of_a_connection_are_on_no_page(tmp_path, monkeypatch):
    monkeypatch.setenv("QDRANT_API_KEY", "a key that nobody may see")
    with open_sample_collection("memory", tmp_path) as opened:
        opened.add_judgements()
        with open_console(opened) as site:
            site.console.opener.connect = lambda: connect(
                "qdrant", {"url": "http://127.0.0.1:1", "timeout": 1}
            )
            client = site.browse(ACTION_TOKEN)
            for path in ("/", "/c/docs/plan", "/c/docs/feedback", "/c/docs/revisions"):
                client.get(path)
                site.wait_for_jobs()
                text = client.get(path).text
                for secret in ("nobody may see", ACTION_TOKEN, READ_TOKEN):
                    assert secret not in text, path
