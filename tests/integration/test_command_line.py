"""Every verb on an embedded engine, as an operator would go through them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from commands import Shop, opened_shop
from typer.testing import CliRunner
from worlds import JUDGED, POINTS

from nudge_sync.cli.app import app
from nudge_sync_qdrant_edge import connect

PATIENCE = 300
"""Seconds that nothing takes, also on a busy machine."""
PLAN = {"method", "parameters", "judged", "moved", "before", "after", "gate"}
APPLY = PLAN | {"revision", "written", "drifted", "missing"}
COUNTS = {"drifted", "missing"}


@pytest.fixture
def shop(tmp_path) -> Shop:
    return opened_shop(tmp_path)


@pytest.fixture(scope="module")
def taught_once(tmp_path_factory) -> Shop:
    shop = opened_shop(tmp_path_factory.mktemp("shop"))
    shop.call("feedback", "import", str(shop.feedback))
    return shop


@pytest.fixture
def taught(taught_once: Shop, tmp_path) -> Shop:
    return taught_once.copied(tmp_path / "copy")


def test_the_operators_whole_story(shop: Shop):
    original = shop.live()
    fresh = shop.call("check")
    assert (fresh["ok"], fresh["problems"]) == (True, [])
    assert any("0 searches logged" in note for note in fresh["notes"])

    imported = shop.call("feedback", "import", str(shop.feedback))
    assert {"accepted", "rejected", "reasons"} <= imported.keys()
    assert (imported["accepted"], imported["rejected"]) == (1800, 0)
    assert shop.call("feedback", "stats")["judged"] == JUDGED
    checked = shop.call("check")
    assert checked["collections"]["docs"]["feedback"]["queries"] == 900
    evidence = {"judged": JUDGED, "points": POINTS, "coverage": JUDGED / POINTS}
    assert checked["collections"]["docs"]["evidence"] == evidence
    share = f"{JUDGED} of {POINTS} points (10.0%) have evidence; the others are left as they are"
    assert checked["notes"] == [f"docs: {share}"]

    planned = shop.call("plan")
    assert planned.keys() >= PLAN
    assert planned["gate"]["passed"]
    assert planned["after"]["ndcg@10"] > planned["before"]["ndcg@10"]
    assert shop.live().tobytes() == original.tobytes()
    assert shop.call("log") == []

    applied = shop.call("apply", "--yes")
    assert applied.keys() >= APPLY
    assert (applied["revision"], applied["written"], applied["moved"]) == (1, JUDGED, JUDGED)
    assert shop.call("apply", "--yes")["moved"] == 0

    assert [entry["revision"] for entry in shop.call("log")] == [1]
    assert shop.call("show", "1")["state"] == "applied"
    found = shop.call("verify")
    assert found.keys() >= {"points", "as_written", "original"} | COUNTS
    assert (found["points"], found["as_written"]) == (JUDGED, JUDGED)

    back = shop.call("rollback", "--yes")
    assert back.keys() >= {"restored", "identical"} | COUNTS
    assert (back["restored"], back["identical"]) == (JUDGED, JUDGED)
    assert shop.live().tobytes() == original.tobytes()
    assert shop.call("verify")["original"] == JUDGED
    assert shop.call("resume") == {"collection": "docs", "resumed": False}
    assert shop.call("unlock")["held_by"] is None
    assert shop.call("gc")["collection"] == "docs"
    assert shop.call("check")["collections"]["docs"]["unfinished"] == []


def test_a_kept_plan_is_carried_out_once(taught: Shop):
    path = taught.folder / "plan"
    planned = taught.call("plan", "--out", str(path))
    applied = taught.call("apply", "--plan", str(path), "--yes")
    assert (applied["written"], applied["after"]) == (JUDGED, planned["after"])
    stale = taught.call("apply", "--plan", str(path), "--yes", code=1)
    assert "plan again" in stale
    path.write_bytes(path.read_bytes()[:100])
    assert "Traceback" not in taught.call("apply", "--plan", str(path), "--yes", code=2)


def test_rollback_to_a_revision_and_to_one_that_is_not_there(taught: Shop):
    taught.call("apply", "--yes")
    first = taught.live()
    taught.call("rollback", "--originals", "--yes")
    assert taught.call("rollback", "--to", "1", "--yes")["restored"] == JUDGED
    assert taught.live().tobytes() == first.tobytes()
    assert "revision 99" in taught.call("rollback", "--to", "99", "--yes", code=2)
    assert "revision 99" in taught.call("show", "99", code=2)


def test_what_the_gate_refuses_is_shown_and_exits_with_3(taught: Shop):
    taught.configure(min_queries=5000)
    before = taught.live()
    assert not taught.call("plan")["gate"]["passed"]
    refused = taught.call("apply", "--yes", code=3)
    assert "only" in refused["gate"]["reasons"][0]
    assert "error" in refused
    assert taught.live().tobytes() == before.tobytes()


def test_all_goes_on_after_a_collection_that_fails(taught: Shop):
    taught.configure("[collections.absent]")
    result = taught.call("apply", "--all", "--yes", code=1)
    assert [entry["collection"] for entry in result] == ["docs", "absent"]
    assert (result[0]["written"], "error" in result[1]) == (JUDGED, True)
    found = taught.call("check", code=1)
    assert not found["ok"]
    assert "absent" in found["problems"][0]


@pytest.mark.parametrize(
    "words",
    [
        ("check",),
        ("feedback", "stats"),
        ("plan",),
        ("apply", "--yes"),
        ("log",),
        ("show", "1"),
        ("verify",),
        ("rollback", "--yes"),
        ("resume",),
        ("unlock",),
        ("gc",),
    ],
    ids=" ".join,
)
def test_people_get_a_readable_answer(words, taught_once: Shop, monkeypatch):
    monkeypatch.setenv("NUDGE_SYNC_CONFIG", str(taught_once.config))
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip()
    assert not done.stdout.lstrip().startswith(("{", "["))


def test_at_a_terminal_it_asks(taught: Shop):
    before = taught.live()
    code, said = _at_a_terminal(taught, "apply", answer="n")
    assert (code, "Write?" in said, "nothing was written" in said) == (1, True, True), said
    assert taught.live().tobytes() == before.tobytes()
    assert _at_a_terminal(taught, "apply", answer="y")[0] == 0
    assert taught.live().tobytes() != before.tobytes()


def _at_a_terminal(shop: Shop, verb: str, answer: str) -> tuple[int, str]:
    near, far = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "nudge_sync", verb],
        stdin=far,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "NUDGE_SYNC_CONFIG": str(shop.config)},
    )
    os.write(near, f"{answer}\n".encode())
    said = child.communicate(timeout=PATIENCE)[0].decode()
    os.close(near)
    os.close(far)
    return child.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_between_batches_and_resume_finishes(number, taught: Shop):
    taught.configure("rate = 4.0")
    child = taught.child("apply", "--yes", "--json", FORCE_COLOR="1")
    # Told that it is a terminal, it draws its bars into the pipe: one batch has been written.
    said = ""
    while "write" not in said:
        more = child.stderr.read(1)
        assert more, said
        said += more
    child.send_signal(number)
    out, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert taught.call("verify", code=1)["pending"] == 1
    taught.configure()
    assert taught.call("resume")["resumed"]
    assert taught.call("verify")["as_written"] == JUDGED


def test_an_embedded_database_in_use_is_a_message(taught: Shop):
    database = connect({"path": str(taught.folder / "shards")})
    database.collection("docs").describe()
    try:
        child = taught.child("check")
        out, err = child.communicate(timeout=PATIENCE)
    finally:
        database.close()
    assert child.returncode == 1
    assert "Traceback" not in out + err


def test_json_is_one_document_and_nothing_else(taught: Shop):
    child = taught.child("plan", "--json")
    out, _ = child.communicate(timeout=PATIENCE)
    assert json.loads(out)["collection"] == "docs"
    assert len(json.loads(out)["before"]) >= 3
    assert POINTS >= json.loads(out)["moved"] > 0
