"""List known vulnerabilities in what is installed beside this Python, by pip-audit.

Exit code 1: some were found. 0: none, or the vulnerability service could not be asked, which is
said: a build without that network goes on, and one that has it is not fooled by silence.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

PIP_AUDIT = ("pip_audit", "--local", "--skip-editable", "--format", "json", "--timeout", "10")
TIMEOUT_SECONDS = 300


def main() -> int:
    """Run pip-audit, print what it found, and return the exit code."""
    try:
        result = subprocess.run(  # noqa: S603 - nothing in it comes from outside
            [sys.executable, "-m", *PIP_AUDIT, "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        dependencies = json.loads(result.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        print(f"not audited: no answer in {TIMEOUT_SECONDS} s")
        return 0
    except (ValueError, KeyError, TypeError):
        reason = (result.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"not audited: {reason}")
        return 0
    return print_outcome(dependencies)


def print_outcome(dependencies: list[dict[str, Any]]) -> int:
    """Print the outcome of an audit, and return the exit code."""
    skipped = [package["name"] for package in dependencies if "skip_reason" in package]
    audited = len(dependencies) - len(skipped)
    for package in dependencies:
        for flaw in package.get("vulns", []):
            fixed = ", ".join(flaw["fix_versions"]) or "no release yet"
            print(f"{package['name']} {package['version']}: {flaw['id']}, fixed in {fixed}")
    if not audited:
        print("not audited: the vulnerability service knows none of the packages, or is not there")
    elif skipped:
        print(f"{audited} packages audited; not known to the service: {', '.join(skipped)}")
    else:
        print(f"{audited} packages audited")
    return int(any(package.get("vulns") for package in dependencies))


if __name__ == "__main__":
    sys.exit(main())
