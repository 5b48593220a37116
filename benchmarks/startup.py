"""How long the command line takes to start, beside an interpreter that does nothing.

python benchmarks/startup.py [--runs 15] [--imports 12]

Each figure is the median of whole processes, run in turn so that a busy moment touches all alike.
`log` reads the ledger of an empty collection of Qdrant Edge. Below that: the packages that take
longest to import, by the time spent in their own modules.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from nudge_sync.connector import connect
from nudge_sync_qdrant_edge import ingest

IMPORT_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)$")


def write_workspace(folder: Path) -> Path:
    """An empty collection, and the configuration that names it."""
    shards = folder / "shards"
    database = connect("qdrant-edge", {"path": str(shards), "sync": False})
    ingest(database, "docs", [], np.empty((0, 8), np.float32))
    database.close()
    config = folder / "nudge-sync.toml"
    config.write_text(
        f'[database]\nconnector = "qdrant-edge"\npath = "{shards}"\n[collections.docs]\n',
        encoding="utf-8",
    )
    return config


def time_process(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def measure(commands: dict[str, list[str]], runs: int) -> dict[str, float]:
    """Command -> median seconds."""
    for words in commands.values():
        time_process(words)  # compiles what is not compiled yet
    times = [{name: time_process(words) for name, words in commands.items()} for _ in range(runs)]
    return {name: statistics.median(run[name] for run in times) for name in commands}


def count_import_ms(words: list[str]) -> Counter[str]:
    """Package -> milliseconds spent in its own modules as they were imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *words], capture_output=True, text=True, check=True
    )
    milliseconds: Counter[str] = Counter()
    for line in done.stderr.splitlines():
        if match := IMPORT_LINE.match(line):
            milliseconds[match[2].partition(".")[0]] += int(match[1]) / 1000
    return milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--imports", type=int, default=12, help="how many packages to list")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nudge-sync-") as folder:
        config = write_workspace(Path(folder))
        commands = {
            "python -c pass": ["-c", "pass"],
            "nudge-sync --help": ["-m", "nudge_sync", "--help"],
            "nudge-sync log": ["-m", "nudge_sync", "log", "--config", str(config)],
        }
        medians = measure(commands, arguments.runs)
        bare = medians["python -c pass"]
        print(f"{'':20}{'median ms':>10}{'ratio':>8}")
        for name, seconds in medians.items():
            print(f"{name:20}{1000 * seconds:10.0f}{seconds / bare:8.1f}")
        for name, words in list(commands.items())[1:]:
            print(f"\nimports of {name}, ms:")
            for package, spent in count_import_ms(words).most_common(arguments.imports):
                print(f"{spent:10.1f}  {package}")


if __name__ == "__main__":
    main()
