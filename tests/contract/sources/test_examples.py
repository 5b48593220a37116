"""The examples, each against the real server that it is about."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.support.sources.environments import find_or_make_environment
from tests.support.timeouts import TIMEOUT_SECONDS


def test_phoenix_traces_become_better_search(root, phoenix_url):
    check_example(root, sys.executable, "phoenix_traces.py", phoenix_url)


def test_a_rag_application_in_mlflow_becomes_better_search(root, mlflow_url):
    python = str(find_or_make_environment("rag") / "python")
    check_example(root, python, "mlflow_rag.py", mlflow_url)


def check_example(root, python, name, url):
    """Run an example against its server; what it prints must be better after than before."""
    done = subprocess.run(
        [python, f"examples/{name}", "--url", url],
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
