"""Write docs/img/console-*.png: each page of the console at two widths, from the demo's data.

Usage: python tools/screenshots.py [FOLDER]. Needs Chromium; CHROMIUM names it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from nudge_sync import cycle
from nudge_sync.canary.review import review
from nudge_sync.config import Config
from nudge_sync.connector import connect
from nudge_sync.console.access import Access
from nudge_sync.console.app import create_console_app
from nudge_sync.console.context import Console
from nudge_sync.console.opener import DatabaseOpener
from nudge_sync.demo import engine
from nudge_sync.demo.requests import Requests, load_demo_data, split_requests
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.serve.feedback_server import serve_feedback_api
from nudge_sync.store.target import Target, open_target

WIDTHS = (1280, 390)
HEIGHT, MAX_HEIGHT = 900, 1700
THEMES = {"": "light", "-dark": "dark"}
TOKEN = "the token of a console that takes its own picture"  # noqa: S105
SECONDS_PER_DAY = 86_400
TIMEOUT_MS = 300_000
ROUNDS = (0.3, 0.6, 1.0)
"""Shares of the requests that are known before the first cycle, the second, and the plan."""


def list_pages(query_id: str) -> dict[str, str]:
    """Return the pages by the names of their pictures."""
    return {
        "overview": "/",
        "plan": "/c/tools/plan",
        "searches": "/c/tools/plan/searches?side=lost",
        "points": "/c/tools/plan/points?sort=angle&down=1",
        "point": "/c/tools/point?id=5",
        "try": f"/c/tools/try?query={query_id}",
        "feedback": "/c/tools/feedback",
        "revisions": "/c/tools/revisions",
        "compare": "/c/tools/revisions/compare?left=1&right=2",
        "experiment": "/c/tools/experiment",
        "apply": "/c/tools/do/apply",
    }


def build_config(folder: Path) -> Config:
    """Return the configuration of the demo's collection in `folder`."""
    return Config.model_validate(
        {
            "database": {"connector": "qdrant-edge", "path": str(folder), "sync": False},
            "collections": {
                "tools": {
                    "solver": {"method": "nudge-c"},
                    "schedule": {"every": "6h"},
                    "canary": {"holdback_share": 0.05},
                    "console": {"title": "tool"},
                }
            },
        }
    )


def fill_collection(config: Config) -> None:
    """Make the demo's collection, let two cycles write as its requests come in, and hold back."""
    tools, requests = load_demo_data()
    train, _ = split_requests(requests)
    database = connect(config.connector, config.connection)
    try:
        payloads = [{"tool": name} for name in tools.names]
        engine.create_demo_collection("qdrant-edge", database, "tools", tools.vectors, payloads)
        target = open_target(database, "tools")
        settings = config.collections["tools"]
        known = 0
        for share in ROUNDS:
            count = int(share * len(train.names))
            log_requests(target, train, range(known, count))
            known = count
            if share < 1:
                print(cycle.apply(target, settings).summary()["revision"], "revisions", flush=True)
        review(target, settings)
    finally:
        database.close()


def log_requests(target: Target, requests: Requests, rows: range) -> None:
    """Log requests and who answered them, spread over the last month."""
    now, total = time.time(), len(requests.names)
    searches, events = [], []
    for row in rows:
        moment = now - 30 * SECONDS_PER_DAY * (1 - row / total)
        name, text = requests.names[row], f"MetaTool request {requests.names[row][1:]}"
        searches.append(to_search_record(Search(name, requests.vectors[row], text, moment)))
        events += [
            to_event_record(Event(name, "relevant", answer, grade=1.0, timestamp=moment))
            for answer in sorted(requests.answers[row])
        ]
    target.queries.put(searches)
    target.events.put(events)


@contextmanager
def serve_demo(folder: Path) -> Iterator[str]:
    """Serve a console over the demo's data, and give its address."""
    config = build_config(folder)
    fill_collection(config)
    opener = DatabaseOpener(config, lambda: connect(config.connector, config.connection))
    due = {"tools": time.time() + 3 * 3600 + 60}
    console = Console(opener, Access("", TOKEN), lambda: due)
    with serve_feedback_api("127.0.0.1", 0, create_console_app(console)) as port:
        yield f"http://127.0.0.1:{port}"
        console.jobs.close()
        opener.close()


def visit(page: Page, address: str) -> None:
    """Open a page, and wait until it shows its result."""
    page.goto(address)
    page.wait_for_selector("[data-job]", state="detached", timeout=TIMEOUT_MS)
    page.wait_for_load_state("load")


def sign_in(page: Page, address: str) -> None:
    """Sign in with the token that may act."""
    page.goto(f"{address}/login")
    page.fill("input[name=token]", TOKEN)
    page.fill("input[name=name]", "Anna")
    page.click("main button")


def run_drill(page: Page, address: str) -> None:
    """Run a restore drill, so that there is something that somebody asked for."""
    visit(page, f"{address}/c/tools/do/drill")
    page.get_by_role("button", name="Run the drill").click()
    page.wait_for_selector("text=Done", timeout=TIMEOUT_MS)


def save_picture(page: Page, file: Path) -> None:
    """Write the page to `file`, cut where a picture in a document would be too high."""
    size = page.evaluate(
        "[document.documentElement.clientWidth, document.documentElement.scrollHeight]"
    )
    clip = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], MAX_HEIGHT)}
    page.screenshot(path=file, full_page=True, clip=clip)


def take_pictures(address: str, folder: Path) -> None:
    """Write each page at each width, in light and, of the plan, in dark."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page()
        sign_in(page, address)
        run_drill(page, address)
        for suffix, theme in THEMES.items():
            for width in WIDTHS:
                page = browser.new_page(
                    viewport={"width": width, "height": HEIGHT}, color_scheme=theme
                )
                sign_in(page, address)
                visit(page, f"{address}/c/tools/plan")
                if page.get_by_role("button", name="Compute a plan").count():
                    page.get_by_role("button", name="Compute a plan").click()
                for name, path in list_pages("q10660").items():
                    if not suffix or name in {"plan", "overview"}:
                        visit(page, address + path)
                        file = folder / f"console-{name}-{width}{suffix}.png"
                        save_picture(page, file)
                        print(file, flush=True)
        browser.close()


def main() -> None:
    """Fill a database, serve it, and take the pictures."""
    default = Path(__file__).parents[1] / "docs" / "img"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, serve_demo(Path(scratch)) as address:
        take_pictures(address, folder)


if __name__ == "__main__":
    main()
