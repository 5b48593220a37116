"""The page Try, for texts that nobody searched for."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from nudge_sync.console.access import Access
from nudge_sync.console.context import Console
from nudge_sync.console.opener import DatabaseOpener
from tests.support.console.console_site import ACTION_TOKEN, READ_TOKEN, ConsoleSite, build_config
from tests.support.sample_collection import DIMENSION, open_sample_collection


@pytest.fixture
def sample(tmp_path):
    with open_sample_collection("memory", tmp_path) as opened:
        yield opened


def open_site(sample, embed=None):
    opener = DatabaseOpener(build_config(embed=embed), sample.reopen)
    return ConsoleSite(Console(opener, Access(READ_TOKEN, ACTION_TOKEN)))


def read_page(site, client, path):
    """Return a page once what it waits for is there."""
    client.get(path)
    site.wait_for_jobs()
    return client.get(path).text


def embed_as_axes(texts):
    """A vector for each text that says only how long it is."""
    return np.eye(DIMENSION, dtype=np.float32)[[len(text) % DIMENSION for text in texts]]


def test_any_text_is_tried_where_embed_is_set(sample):
    site = open_site(sample, f"{__name__}:embed_as_axes")
    with closing(site.console.jobs):
        client = site.browse(READ_TOKEN)
        assert "Or any text" in client.get("/c/docs/try").text
        page = read_page(site, client, "/c/docs/try?text=wings+of+<b>birds</b>")
        assert "Embedded for this, not logged" in page
        assert "wings of &lt;b&gt;birds" in page
        assert page.count('class="answer-text"') == 20
        assert client.get("/c/docs/try?text=" + "x" * 2001).status_code == 422


def test_where_embed_is_not_set_no_text_is_tried(sample):
    site = open_site(sample)
    with closing(site.console.jobs):
        client = site.browse(READ_TOKEN)
        assert "Or any text" not in client.get("/c/docs/try").text
        assert "set `embed`" in read_page(site, client, "/c/docs/try?text=wings")


def test_vectors_of_another_length_are_refused(sample):
    site = open_site(sample, f"{__name__}:embed_too_short")
    with closing(site.console.jobs):
        page = read_page(site, site.browse(READ_TOKEN), "/c/docs/try?text=wings")
    assert "wrong dimension" in page


def embed_too_short(texts):
    return np.ones((len(texts), DIMENSION - 1))
