"""The console in a real browser: each page at two widths, and an action from end to end."""

from __future__ import annotations

import pytest

from nudge_sync.feedback.schema.records import Search, to_search_record
from nudge_sync.store.upkeep.audit import begin_audit_line
from tests.hostile.test_console_texts import PAYLOADS
from tests.support.console.browser_visit import Visit
from tests.support.console.console_site import open_console, serve_site
from tests.support.sample_collection import POINTS, open_sample_collection

SCREENS = ((1280, "light"), (390, "dark"))
PAGES = {
    "sign in": "/login",
    "overview": "/",
    "plan": "/c/docs/plan",
    "searches": "/c/docs/plan/searches?side=won",
    "points": "/c/docs/plan/points?sort=angle&down=1",
    "point": "/c/docs/point?id=3",
    "searches to try": "/c/docs/try",
    "try": "/c/docs/try?query=q3",
    "feedback": "/c/docs/feedback",
    "revisions": "/c/docs/revisions",
    "revision": "/c/docs/revisions/1",
    "experiment": "/c/docs/experiment",
    "apply": "/c/docs/do/apply",
    "rollback": "/c/docs/do/rollback?to=originals",
    "not there": "/c/nowhere/plan",
}


@pytest.fixture(scope="module", params=["qdrant-edge", "milvus-lite"])
def site(request, tmp_path_factory):
    with open_sample_collection(request.param, tmp_path_factory.mktemp("browser")) as sample:
        sample.add_judgements()
        sample.database.close()
        with open_console(sample) as opened:
            yield opened


@pytest.fixture(scope="module")
def address(site):
    with serve_site(site) as opened:
        yield opened


@pytest.fixture(scope="module")
def applied(chromium, address):
    """Apply a plan and compute the next, by mouse and keyboard alone."""
    visit = Visit(chromium, address)
    visit.sign_in()
    visit.open("/c/docs/plan")
    visit.page.get_by_role("button", name="Compute a plan").click()
    visit.wait()
    visit.page.get_by_role("link", name="Apply …").click()
    visit.page.get_by_role("button", name="Write").press("Enter")
    visit.page.wait_for_selector("text=Done")
    visit.open("/c/docs/plan")
    visit.page.get_by_role("button", name="Compute a plan").click()
    visit.wait()
    assert visit.complaints == []
    return visit


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_every_page_is_clean(chromium, address, applied, width, theme):
    visit = Visit(chromium, address, width, theme)
    visit.sign_in()
    for name, path in PAGES.items():
        visit.open(path)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert visit.find_faults() == [], name
        assert visit.complaints == [], name


def test_the_way_back_by_hand(chromium, address, site, applied):
    visit = Visit(chromium, address)
    visit.sign_in()
    visit.open("/c/docs/revisions")
    visit.page.get_by_role("link", name="Back to the originals").click()
    visit.page.fill("input[name=reason]", "it looks wrong")
    visit.page.get_by_role("button", name="Write back").click()
    visit.page.wait_for_selector("text=Done")
    visit.open("/")
    assert visit.page.get_by_text("On hold by Anna").count() == 1
    visit.page.get_by_role("link", name="Release the hold").click()
    visit.page.get_by_role("button", name="Release").click()
    visit.page.wait_for_selector("text=Done")
    visit.open("/")
    assert visit.page.get_by_text("On hold by").count() == 0
    assert visit.complaints == []


def test_the_keyboard_reaches_the_content_first(chromium, address, applied):
    visit = Visit(chromium, address)
    visit.sign_in()
    # Not while the page that follows the sign-in is on its way.
    visit.open("/")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Skip to content"
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("location.hash") == "#main"


def write_hostile_texts(sample):
    """Store hostile titles, as the application does, and searches with hostile texts."""
    titles = [PAYLOADS[row % len(PAYLOADS)] for row in range(POINTS)]
    if sample.engine == "memory":
        payloads = [{"title": title} for title in titles]
        sample.application.store.upsert("docs", range(POINTS), sample.data.vectors, payloads)
    else:
        with sample.application.connect_client() as client:
            rows = zip(range(POINTS), sample.data.vectors, titles, strict=True)
            client.upsert("docs", [{"id": i, "vector": v, "title": text} for i, v, text in rows])
    sample.add_judgements()
    searches = [
        Search(f"q{row}", query, PAYLOADS[row % len(PAYLOADS)])
        for row, query in enumerate(sample.data.queries)
    ]
    target = sample.target()
    target.queries.put([to_search_record(search) for search in searches])
    for text in PAYLOADS:
        begin_audit_line(target, text, text, text, to=text, reason=text)


@pytest.mark.parametrize("engine", ["memory", "milvus-lite"])
def test_hostile_texts_run_nothing(chromium, tmp_path, engine):
    with open_sample_collection(engine, tmp_path) as sample:
        write_hostile_texts(sample)
        sample.database.close()
        with open_console(sample) as site, serve_site(site) as address:
            visit = Visit(chromium, address, 390)
            visit.sign_in()
            visit.open("/c/docs/plan")
            visit.page.get_by_role("button", name="Compute a plan").click()
            visit.wait()
            for path in PAGES.values():
                visit.open(path)
                assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390, path
            visit.open("/c/docs/plan/points")
            assert "alert(1)" in visit.page.inner_text("main")
            assert visit.complaints == []
