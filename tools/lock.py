"""Pin every package that `make` installs: write requirements/constraints.txt.

python tools/lock.py PYTHON... resolves the newest releases for each of these interpreters with
their own pip, the oldest interpreter first. One version of a package serves all of them: what an
older interpreter chose is given, and a newer one adds only the packages that it alone needs.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "requirements" / "constraints.txt"
# The last two build the project itself, as an editable install.
REQUIREMENTS = (f"{ROOT}[test,docs,lint,audit,hooks]", "hatchling", "editables")
HEADER = """\
# The releases that `make` installs on Linux, for Python {versions}.
# `make lock` writes this file, `make test-latest` runs the tests without it.
# Versions alone: pip checks hashes only if everything has one, which an editable project cannot
# have, and a lock that lists files would name the registry they were found in.
"""


def main(interpreters: list[str]) -> None:
    """Write the file from what each interpreter's pip chooses."""
    by_version = {read_version(interpreter): interpreter for interpreter in interpreters}
    pins: dict[str, str] = {}
    versions = sorted(by_version)
    for version in versions:
        pins |= resolve(by_version[version], pins)
    named = ", ".join(f"{major}.{minor}" for major, minor in versions)
    TARGET.write_text(HEADER.format(versions=named) + format_pins(pins), encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {len(pins)} packages, for Python {named}")


def read_version(interpreter: str) -> tuple[int, int]:
    """Return the major and the minor version of an interpreter."""
    code = "import json, sys; print(json.dumps(sys.version_info[:2]))"
    major, minor = json.loads(run(interpreter, "-c", code))
    return major, minor


def resolve(interpreter: str, pins: dict[str, str]) -> dict[str, str]:
    """Return the version of each package that pip would install under `pins`."""
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(format_pins(pins), encoding="utf-8")
        run(interpreter, "-m", "venv", f"{folder}/venv")
        report = Path(folder) / "report.json"
        dry_run = ("--dry-run", "--quiet", "--report", str(report), "-c", str(constraints))
        run(f"{folder}/venv/bin/python", "-m", "pip", "install", *dry_run, *REQUIREMENTS)
        return read_report(json.loads(report.read_text(encoding="utf-8")))


def read_report(report: dict[str, list[dict[str, dict[str, str]]]]) -> dict[str, str]:
    """Return name -> version from a report of pip, without the project itself."""
    packages = [entry["metadata"] for entry in report["install"]]
    return {
        re.sub(r"[-_.]+", "-", package["name"]).lower(): package["version"]
        for package in packages
        if package["name"] != "nudge-sync"
    }


def format_pins(pins: dict[str, str]) -> str:
    """Return one line `name==version` for each package, in alphabetical order."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def run(*command: str) -> str:
    """Run a command and return what it printed; end with its words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the caller's own interpreters
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1:] or [sys.executable])
