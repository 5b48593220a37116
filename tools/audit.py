"""Known vulnerabilities in what is installed beside this Python, by pip-audit.

Exit code 1: some were found. 0: none, or the vulnerability service could not be asked, which is
said: a build without that network goes on, and one that has it is not fooled by silence.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

PIP_AUDIT = ("pip_audit", "--local", "--skip-editable", "--format", "json", "--timeout", "10")
LONGEST = 300
"""Seconds."""


def main() -> int:
    """Run pip-audit and say what it found."""
    try:
        done = subprocess.run(  # noqa: S603 - nothing in it comes from outside
            [sys.executable, "-m", *PIP_AUDIT, "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
        )
        found = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        print(f"not audited: no answer in {LONGEST} s")
        return 0
    except (ValueError, KeyError, TypeError):
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"not audited: {reason}")
        return 0
    return told(found)


def told(dependencies: list[dict[str, Any]]) -> int:
    """Print the outcome of an audit; the exit code."""
    skipped = [one["name"] for one in dependencies if "skip_reason" in one]
    checked = len(dependencies) - len(skipped)
    for one in dependencies:
        for flaw in one.get("vulns", []):
            fixed = ", ".join(flaw["fix_versions"]) or "no release yet"
            print(f"{one['name']} {one['version']}: {flaw['id']}, fixed in {fixed}")
    if not checked:
        print("not audited: the vulnerability service knows none of the packages, or is not there")
    elif skipped:
        print(f"{checked} packages audited; not known to the service: {', '.join(skipped)}")
    else:
        print(f"{checked} packages audited")
    return int(any(one.get("vulns") for one in dependencies))


if __name__ == "__main__":
    sys.exit(main())
