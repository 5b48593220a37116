"""Programs of others that check what deploy/ holds; `make deploy-tools` gets them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import skip_or_fail
from tests.support.source_code import ROOT

TOOLS = ROOT / "build" / "tools"
"""Where `make deploy-tools` puts what the machine lacks."""


def find_tool(name: str) -> str:
    """Return the path of a program; where it is not installed, skip, or fail in CI."""
    path = shutil.which(name) or shutil.which(name, path=TOOLS / "bin")
    if path is None:
        skip_or_fail(f"{name} is not on the PATH; make deploy-tools gets it")
    return str(path)


def run_tool(name: str, *words: str | Path, stdin: str = "") -> str:
    """Run a program that has to succeed, and return what it printed."""
    result = subprocess.run(
        [find_tool(name), *map(str, words)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
