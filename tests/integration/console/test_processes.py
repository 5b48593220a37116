"""The console as a process of its own, and beside the daemon's cycles."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from nudge_sync.config import load_config
from nudge_sync.connector import connect
from nudge_sync.store.target import open_target
from nudge_sync.store.upkeep.audit import begin_audit_line
from tests.support.timeouts import TIMEOUT_SECONDS
from tests.support.workspace import make_workspace

READ_TOKEN = "a token that only reads"
NO_TOKENS = {"NUDGE_SYNC_CONSOLE_TOKEN": "", "NUDGE_SYNC_CONSOLE_ACTION_TOKEN": ""}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    made = make_workspace(tmp_path_factory.mktemp("console") / "work")
    made.run("feedback", "import", str(made.feedback_path))
    return made


def read_page(address, token):
    request = Request(address, headers={"Authorization": f"Bearer {token}"})
    with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        return answer.status, answer.read().decode()


def end(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT_SECONDS)
    return process.returncode


def test_the_console_alone_prints_where_to_go(workspace):
    process = workspace.start_process("console", **NO_TOKENS)
    try:
        address, token = process.stdout.readline().strip().split("/login?token=")
        status, page = read_page(address, token)
        assert status == 200
        assert "docs" in page
        assert "reads only" in page
        # Nobody asked it to stop.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2.5)
    finally:
        assert end(process) == 0


def test_a_plan_from_a_file_is_shown(workspace, tmp_path):
    path = tmp_path / "plan.jsonl"
    workspace.run("plan", "--out", str(path))
    process = workspace.start_process("console", "--plan", str(path), **NO_TOKENS)
    try:
        address, token = process.stdout.readline().strip().split("/login?token=")
        end_time, text = time.monotonic() + TIMEOUT_SECONDS, ""
        while "The gate" not in text:
            assert time.monotonic() < end_time, text
            _, text = read_page(f"{address}/c/docs/plan", token)
        assert "Read from plan.jsonl" in text
    finally:
        assert end(process) == 0


def test_the_daemon_shows_it_beside_its_cycles(workspace):
    workspace.write_config('[serve]\nport = 0\nconsole_port = 0\n[schedule]\nevery = "1h"')
    process = workspace.start_process(
        "serve", **{**NO_TOKENS, "NUDGE_SYNC_CONSOLE_TOKEN": READ_TOKEN}
    )
    try:
        lines = iter(process.stderr.readline, "")
        port = next(
            found[1] for line in lines if (found := re.search(r"console .*port=(\d+)", line))
        )
        end_time, page = time.monotonic() + TIMEOUT_SECONDS, ""
        # The schedule begins after the console, so that a bad address is said before.
        while not re.search(r"<dt>Next run</dt><dd>(in \d+ minute|now)", page):
            assert time.monotonic() < end_time, page
            status, page = read_page(f"http://127.0.0.1:{port}/", READ_TOKEN)
            assert status == 200
    finally:
        assert end(process) == 0
        workspace.write_config()


def test_the_daemon_shows_what_it_took_and_refused(workspace):
    workspace.write_config("[serve]\nport = 0\nconsole_port = 0\nfeedback_port = 0")
    process = workspace.start_process(
        "serve", **{**NO_TOKENS, "NUDGE_SYNC_CONSOLE_TOKEN": READ_TOKEN}
    )
    try:
        lines = iter(process.stderr.readline, "")
        ports = {}
        while len(ports) < 2:
            if found := re.search(r"(console|taking feedback) .*port=(\d+)", next(lines)):
                ports[found[1]] = found[2]
        address = f"http://127.0.0.1:{ports['console']}/c/docs/feedback"
        assert "Nothing yet, over HTTP" in read_page(address, READ_TOKEN)[1]
        rows = [
            {"query_id": "q1", "point": 3, "action": "click"},
            {"query_id": "q1", "point": "nowhere", "action": "click"},
        ]
        events = f"http://127.0.0.1:{ports['taking feedback']}/v1/events?partial=true"
        sent = Request(
            events, json.dumps(rows).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urlopen(sent, timeout=TIMEOUT_SECONDS) as answer:
            assert answer.status == 200
        page = " ".join(re.sub(r"<[^>]*>", " ", read_page(address, READ_TOKEN)[1]).split())
        assert "events over HTTP accepted 1 events over HTTP unknown point 1" in page
    finally:
        assert end(process) == 0
        workspace.write_config()


def test_the_daemons_console_goes_on_by_the_file_as_it_is_now(workspace, tmp_path):
    token_file = tmp_path / "token"
    token_file.touch(0o600)

    def write(token: str, extra: str = "") -> None:
        token_file.write_text(token)
        workspace.write_config(
            f'[serve]\nport = 0\nconsole_port = 0\nconsole_token_file = "{token_file}"\n'
            f'[schedule]\nevery = "1h"\n{extra}'
        )

    def reload() -> str:
        """Ask the daemon to read its file again, and return what it says of that."""
        process.send_signal(signal.SIGHUP)
        return next(line for line in lines if "configuration re" in line)

    write(READ_TOKEN)
    process = workspace.start_process("serve", **NO_TOKENS)
    try:
        lines = iter(process.stderr.readline, "")
        port = next(
            found[1] for line in lines if (found := re.search(r"console .*port=(\d+)", line))
        )
        address = f"http://127.0.0.1:{port}/"
        assert "more" not in read_page(address, READ_TOKEN)[1]
        write("another token that only reads", "[collections.more]")
        assert "configuration reloaded" in reload()
        assert "more" in read_page(address, "another token that only reads")[1]
        with pytest.raises(HTTPError, match="401"):
            read_page(address, READ_TOKEN)
        write("short")
        assert "configuration refused" in reload()
        assert "more" in read_page(address, "another token that only reads")[1]
    finally:
        assert end(process) == 0
        workspace.write_config()


def test_log_lists_who_asked_for_what(workspace):
    assert workspace.run("log", "--actions") == []
    config = load_config(workspace.config_path)
    database = connect(config.connector, config.connection)
    try:
        begin_audit_line(open_target(database, "docs"), "apply", "Anna", "192.0.2.7")
    finally:
        database.close()
    [line] = workspace.run("log", "--actions")
    assert (line["action"], line["by"], line["address"]) == ("apply", "Anna", "192.0.2.7")
    assert (line["state"], line["revision"]) == ("begun", 0)
    assert workspace.run("verify")["clean"]


def test_the_daemon_refuses_a_console_that_anybody_could_open(workspace):
    workspace.write_config('[serve]\nport = 0\nconsole_port = 0\n[schedule]\nevery = "1h"')
    try:
        process = workspace.start_process("serve", **NO_TOKENS)
        _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == 2
        assert "NUDGE_SYNC_CONSOLE_TOKEN" in errors
    finally:
        workspace.write_config()
