"""What the pages Try and Point have worked out is not shown for good."""

from __future__ import annotations

from contextlib import closing

import pytest

from nudge_sync.console.access import Access
from nudge_sync.console.context import Console
from nudge_sync.console.kept_work import ERROR_SECONDS
from nudge_sync.console.opener import DatabaseOpener
from nudge_sync.errors import Unreachable
from tests.support.console.console_site import (
    ACTION_TOKEN,
    READ_TOKEN,
    ConsoleSite,
    apply_plan,
    build_config,
    find_proof,
    post_form,
)

PAGES = ("/c/docs/try?query=q3", "/c/docs/point?id=3")
DATABASE_AWAY = "no answer from the database"


def read_page(site, client, path):
    """Return a page once what it waits for is there."""
    client.get(path)
    site.wait_for_jobs()
    return client.get(path).text


@pytest.mark.parametrize("path", [*PAGES, "/c/docs/feedback", "/c/docs/experiment"])
def test_an_error_is_gone_once_the_database_is_back(memory_sample, path):
    errors = [Unreachable(DATABASE_AWAY)]

    def connect():
        if errors:
            raise errors[0]
        return memory_sample.reopen()

    site = ConsoleSite(Console(DatabaseOpener(build_config(), connect), Access(READ_TOKEN)))
    with closing(site.console.jobs):
        client = site.browse(READ_TOKEN)
        assert DATABASE_AWAY in read_page(site, client, path)
        errors.clear()
        for job in site.console.jobs.list_jobs():
            job.finished_at -= ERROR_SECONDS + 1
        page = read_page(site, client, path)
    assert DATABASE_AWAY not in page
    assert "failed" not in page


@pytest.mark.parametrize("path", PAGES)
def test_a_write_from_the_console_is_seen_at_once(memory_site, path):
    client = memory_site.browse(ACTION_TOKEN)
    before = read_page(memory_site, client, path)
    apply_plan(memory_site, client)
    after = read_page(memory_site, client, path)
    turned = "never moved" if "point" in path else "moved "
    assert (turned in before) != (turned in after)


@pytest.mark.parametrize("path", PAGES)
def test_a_button_works_it_out_again(memory_site, path):
    client = memory_site.browse(READ_TOKEN)
    page = read_page(memory_site, client, path)
    assert "orked out just now" in page
    assert "Work it out again" in page
    [first] = memory_site.console.jobs.list_jobs()
    answer = post_form(client, path, find_proof(client.get(path)))
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    memory_site.wait_for_jobs()
    newest = memory_site.console.jobs.list_jobs()[0]
    assert (newest.key, newest.job_id != first.job_id) == (first.key, True)
    assert client.post(path).status_code == 415
