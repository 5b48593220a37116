"""Where the console sends a browser: back to a form's collection, and on to what was asked for."""

from __future__ import annotations

import html
import re
from urllib.parse import quote

import pytest

from nudge_sync.console.access import Access
from nudge_sync.console.context import Console
from nudge_sync.console.opener import DatabaseOpener
from tests.support.console.console_site import (
    ACTION_TOKEN,
    READ_TOKEN,
    ConsoleSite,
    build_config,
    find_proof,
    post_form,
)


@pytest.fixture(params=["docs", "a#b", "a?b", "100%", "größe 1"])
def name(request):
    """Give what the only collection is called."""
    return request.param


@pytest.fixture
def site(memory_sample, name):
    config = build_config()
    config = config.model_copy(update={"collections": {name: config.collections["docs"]}})
    access = Access(READ_TOKEN, ACTION_TOKEN)
    site = ConsoleSite(Console(DatabaseOpener(config, memory_sample.reopen), access))
    yield site
    site.console.jobs.close()


def test_a_form_leads_back_to_its_collection(site, name):
    client = site.browse(ACTION_TOKEN)
    for page in ("plan", "feedback", "experiment", "do/hold"):
        answer = post_form(client, f"/c/{quote(name)}/{page}", find_proof(client.get("/")))
        assert client.get(answer.headers["location"]).status_code == 200, page
    site.wait_for_jobs()
    assert {name in job.key for job in site.console.jobs.list_jobs()} == {True}


@pytest.mark.parametrize(
    "page",
    [
        "plan",
        "point?id=5",
        "plan/points?sort=angle&down=1&search=a%26b%23c+d",
        "try?search=https://evil.example",
    ],
)
def test_signing_in_leads_on_to_the_address_that_was_asked_for(site, name, page):
    client, address = site.browse(), f"/c/{quote(name)}/{page}"
    form = client.get(client.get(address).headers["location"]).text
    [wanted] = re.findall(r'name="next" value="([^"]*)"', form)
    answer = client.post("/login", data={"token": READ_TOKEN, "next": html.unescape(wanted)})
    assert answer.headers["location"] == address
