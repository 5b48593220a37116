"""A secret in the environment is in nothing that the program says, also where all goes wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from tests.support.timeouts import TIMEOUT_SECONDS

SECRET = "hunter2-planted"
SECTIONS = {
    "qdrant": 'connector = "qdrant"\nurl = "http://127.0.0.1:1"\ntimeout = 1',
    "milvus": 'connector = "milvus"\nuri = "http://127.0.0.1:1"\ntimeout = 1.0',
}
VARIABLES = dict.fromkeys(("QDRANT_API_KEY", "MILVUS_TOKEN", "NUDGE_SYNC_TOKEN"), SECRET)


@pytest.fixture(params=SECTIONS)
def config(request, tmp_path):
    path = tmp_path / "nudge-sync.toml"
    # Half a minute is waited by default.
    database = f'[database]\npatience = "1s"\n{SECTIONS[request.param]}\n'
    text = f'{database}[collections.docs]\n[schedule]\nevery = "1d"\n'
    path.write_text(text, encoding="utf-8")
    return path


def child(config, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nudge_sync", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **VARIABLES, "NUDGE_SYNC_CONFIG": str(config)},
    )


@pytest.mark.parametrize("words", [("check", "--json"), ("apply", "--yes")], ids=" ".join)
def test_a_database_that_does_not_answer_is_one_line_and_exit_code_1(words, config):
    running = child(config, *words)
    out, err = running.communicate(timeout=TIMEOUT_SECONDS)
    assert running.returncode == 1, err
    # A wait of more than a few seconds says how long it has been.
    assert re.fullmatch(r"(nudge-sync: \w+, \d+ s so far\n)*nudge-sync: [^\n]+\n", err)
    assert SECRET not in out + err


def test_the_daemon_waits_for_its_database_and_says_no_secret(config):
    running = child(config, "serve", "--port", "0", "--log-format", "json", "--now")
    said = []
    try:
        for line in running.stderr:
            said.append(line)
            if '"not now"' in line:
                break
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=TIMEOUT_SECONDS)
    finally:
        running.kill()
    assert running.returncode == 0
    assert SECRET not in "".join(said) + out + err
    assert {json.loads(line)["message"] for line in said} >= {"listening", "not now"}
