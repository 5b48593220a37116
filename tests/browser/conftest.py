"""A real browser: Debian's Chromium, or the one that CHROMIUM names."""

from __future__ import annotations

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

from tests.conftest import skip_or_fail


# Playwright runs an event loop in the thread of the test for as long as it lives: a module long,
# since the next module of this worker may want a loop of its own.
@pytest.fixture(scope="module")
def chromium():
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        skip_or_fail("no Chromium; install Debian's package, or name one in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
