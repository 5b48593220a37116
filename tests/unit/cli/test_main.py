"""The console script as a process: it ends quietly, whatever happens to its streams."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.command_line import write_config


def test_a_reader_that_goes_away_is_no_traceback():
    child = subprocess.Popen(
        [sys.executable, "-m", "nudge_sync", "plan", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    child.stdout.close()
    errors = child.stderr.read().decode()
    child.stderr.close()
    assert child.wait(300) in {0, 1, 141}
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors


STREAMS = {
    "no stdout": ("init --json >&-", 0, ""),
    "no stderr": ("init 2>&-", 0, ""),
    "no stdin": ("rollback --config docs.toml <&-", 2, "--yes"),
    "a full disk": ("init >/dev/full", 1, "No space left on device"),
    "a full disk, and JSON": ("init --json >/dev/full", 1, "No space left on device"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_is_closed_or_full_is_no_bug(name, tmp_path):
    words, code, said = STREAMS[name]
    write_config(tmp_path).rename(tmp_path / "docs.toml")
    done = subprocess.run(
        f"{sys.executable} -m nudge_sync {words}",
        shell=True,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "bug" not in done.stderr
    assert "Traceback" not in done.stderr


SCRIPT = """
import sys
from nudge_sync.cli import main as program
def fail(**_):
    raise KeyError("https://user:hunter2@db")
program.app = fail
program.main()
"""


@pytest.mark.parametrize(("debug", "has_traceback"), [("", False), ("1", True)])
def test_a_bug_is_one_line_without_its_message_unless_asked_for(debug, has_traceback):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NUDGE_SYNC_DEBUG": debug},
    )
    assert done.returncode == 1
    assert ("Traceback" in done.stderr, "hunter2" in done.stderr) == (has_traceback, has_traceback)
    if not has_traceback:
        assert done.stderr.startswith("nudge-sync: unexpected KeyError; this is a bug.")
        assert done.stderr.count("\n") == 1
