"""The daemon as a real process: it runs on time, answers, and ends between two batches."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from commands import Shop, opened_shop
from worlds import JUDGED, POINTS

PATIENCE = 300
"""Seconds that nothing takes, also on a busy machine."""


@pytest.fixture(scope="module")
def taught_once(tmp_path_factory) -> Shop:
    shop = opened_shop(tmp_path_factory.mktemp("shop"))
    shop.call("feedback", "import", str(shop.feedback))
    return shop


@pytest.fixture
def taught(taught_once: Shop, tmp_path) -> Shop:
    return taught_once.copied(tmp_path / "copy")


@contextmanager
def served(shop: Shop, *words: str, **variables: str) -> Iterator[tuple[Popen[str], str]]:
    """The daemon on a free port, and its address."""
    child = shop.child("serve", "--port", "0", "--log-format", "json", *words, **variables)
    try:
        said = next(line for line in child.stderr if '"listening"' in line)
        yield child, f"http://127.0.0.1:{json.loads(said)['port']}"
    finally:
        child.kill()
        child.communicate()


def page(url: str, token: str = "") -> tuple[int, str]:
    try:
        with urlopen(Request(url, headers={"Authorization": f"Bearer {token}"})) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def metric(url: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", page(f"{url}/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_until(reached) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def stopped(child: Popen[str], number: int = signal.SIGTERM) -> str:
    child.send_signal(number)
    _, log = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, log
    return log


def test_it_runs_on_time_answers_and_stops(taught: Shop):
    taught.configure('[schedule]\nevery = "2s"')
    cycles = 'nudge_sync_cycles_total{collection="docs",outcome="%s"}'
    with served(taught) as (child, url):
        wait_until(lambda: metric(url, cycles % "unchanged") >= 1)
        assert metric(url, cycles % "applied") == 1
        assert metric(url, 'nudge_sync_points{collection="docs"}') == POINTS
        assert metric(url, 'nudge_sync_judged_points{collection="docs"}') == JUDGED
        assert metric(url, 'nudge_sync_rows_total{collection="docs",result="written"}') == JUDGED
        held = 'nudge_sync_held_out{collection="docs",metric="ndcg@10",when="%s"}'
        assert metric(url, held % "after") > 0
        success = 'nudge_sync_last_success_timestamp_seconds{collection="docs"}'
        assert 0 <= time.time() - metric(url, success) < PATIENCE
        assert page(f"{url}/healthz") == (200, "ok\n")
        assert page(f"{url}/readyz") == (200, "ok\n")
        assert page(f"{url}/else")[0] == 404
        log = stopped(child)
    entries = [json.loads(line) for line in log.splitlines()]
    assert {"time", "level", "message"} <= entries[0].keys()
    assert entries[-1]["message"] == "stopped"
    assert any(entry["message"] == "cycle applied" for entry in entries)
    assert taught.call("verify")["as_written"] == JUDGED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_ends_with_the_batch_in_hand(number, taught: Shop):
    # Forty rows in batches of sixteen at four a second: the write takes some seconds.
    taught.configure('rate = 4.0\n[schedule]\nevery = "1d"')
    with served(taught, "--now") as (child, url):
        wait_until(lambda: metric(url, 'nudge_sync_lease_held{collection="docs"}') == 1)
        assert page(f"{url}/healzh")[0] == 404
        log = stopped(child, number)
    assert "cycle interrupted" in log
    taught.configure()
    assert taught.call("apply", "--yes")["gate"]["passed"]
    found = taught.call("verify")
    assert (found["as_written"], found["pending"]) == (JUDGED, 0)


def test_the_gate_and_a_missing_collection_do_not_end_it(taught: Shop):
    taught.configure('[schedule]\nevery = "1d"\n[collections.absent]', min_queries=5000)
    cycles = 'nudge_sync_cycles_total{collection="%s",outcome="%s"}'
    with served(taught, "--now") as (child, url):
        wait_until(lambda: metric(url, cycles % ("docs", "refused")) == 1)
        wait_until(lambda: metric(url, cycles % ("absent", "failed")) == 1)
        assert metric(url, 'nudge_sync_gate_total{collection="docs",result="refused"}') == 1
        log = stopped(child)
    assert "refused by the gate" in log
    assert "Traceback" not in log


def test_metrics_ask_for_the_token(taught: Shop):
    taught.configure('[schedule]\nevery = "1d"')
    with served(taught, NUDGE_SYNC_TOKEN="s3cret") as (child, url):
        assert page(f"{url}/metrics")[0] == 401
        assert page(f"{url}/metrics", "wrong")[0] == 401
        assert page(f"{url}/metrics", "s3cret")[0] == 200
        assert page(f"{url}/healthz")[0] == 200
        log = stopped(child)
    assert "s3cret" not in log


@pytest.mark.parametrize(
    ("more", "words", "expected"),
    [
        ("", (), "no collection has a schedule"),
        ('[schedule]\nevery = "1d"', ("--host", "0.0.0.0"), "NUDGE_SYNC_TOKEN"),
        ('[schedule]\nevery = "1d"', ("--host", "203.0.113.1"), "NUDGE_SYNC_TOKEN"),
    ],
)
def test_what_it_refuses_to_start_with(more, words, expected, taught: Shop):
    taught.configure(more)
    child = taught.child("serve", "--port", "0", *words)
    _, said = child.communicate(timeout=PATIENCE)
    assert (child.returncode, expected in said) == (2, True), said
