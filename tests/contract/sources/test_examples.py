"""The examples, each against the real server that it is about."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.support.timeouts import TIMEOUT_SECONDS


def test_phoenix_traces_become_better_search(root, phoenix_url):
    done = subprocess.run(
        [sys.executable, "examples/phoenix_traces.py", "--url", phoenix_url],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * TIMEOUT_SECONDS,
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'connectors'}"},
    )
    assert done.returncode == 0, done.stderr
    before, after = map(float, re.findall(r"(0\.\d+) (?:before|after)", done.stdout))
    assert after > before
