"""Print which share of each package's lines and branches the last `make coverage` ran.

It sets no bar: it shows where tests are thin, and a share that moves by chance fails nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import PurePosixPath
from typing import Any

WIDTHS = (32, 8, 8, 9, 9, 7)
TITLES = ("package", "lines", "missed", "branches", "missed", "share")


def main() -> None:
    """Read coverage's data and print the table."""
    command = [sys.executable, "-m", "coverage", "json", "--quiet", "-o", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter
    print(format_table(sum_by_package(json.loads(done.stdout)["files"])))


def sum_by_package(files: dict[str, dict[str, Any]]) -> dict[str, Counter[str]]:
    """Return package -> sums of coverage's counts over its files, and "total" as the last."""
    sums: dict[str, Counter[str]] = {}
    for path in sorted(files):
        sums.setdefault(name_package(path), Counter()).update(select_counts(files[path]["summary"]))
    return {**sums, "total": sum(sums.values(), Counter())}


def name_package(path: str) -> str:
    """Return a file's package: a folder of nudge_sync or of connectors, nudge_sync for the rest."""
    parts = [part for part in PurePosixPath(path).parent.parts if part != "connectors"]
    return ".".join(parts[:2])


def select_counts(summary: dict[str, Any]) -> dict[str, int]:
    """Return how many lines and branches there are, and how many of them never ran."""
    return {
        "lines": summary["num_statements"],
        "missed lines": summary["missing_lines"],
        "branches": summary["num_branches"],
        "missed branches": summary["missing_branches"],
    }


def format_table(sums: dict[str, Counter[str]]) -> str:
    """Return one line for each package: its counts, and the share of both that ran."""
    rows = [TITLES]
    for package, counts in sums.items():
        everything = counts["lines"] + counts["branches"]
        missed = counts["missed lines"] + counts["missed branches"]
        share = f"{1 - missed / everything:.1%}" if everything else "-"
        shown = ("lines", "missed lines", "branches", "missed branches")
        rows.append((package, *(str(counts[name]) for name in shown), share))
    return "\n".join(
        "".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, WIDTHS, strict=True))
        )
        for row in rows
    )


if __name__ == "__main__":
    main()
