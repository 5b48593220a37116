"""`make chaos-cluster`: let nodes of a Qdrant cluster die while a sidecar works, and count."""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "connectors"), str(ROOT)]

from tests.support.qdrant_server.cluster import start_cluster  # noqa: E402
from tests.support.qdrant_server.node_deaths import (  # noqa: E402
    VERBS,
    NodeDeathReport,
    NodeDeathRunner,
)


def format_table(report: NodeDeathReport) -> str:
    """Return the kills by verb and by node, and what they cost."""
    lines = [f"{'killed during':16}{'node 1':>8}{'node 2':>8}{'node 3':>8}{'went on':>10}"]
    for verb in sorted(set(VERBS)):
        counts = [report.kills[verb, node] for node in range(3)]
        row = "".join(f"{count:8}" for count in counts)
        lines.append(f"{verb:16}{row}{report.completed[verb]:10}")
    return "\n".join(
        [
            *lines,
            "",
            f"nodes killed                      {report.kills.total():6}",
            f"  of these replaced by empty ones {report.replaced:6}",
            f"cycles completed with a dead node {report.cycles_without_a_node:6}",
            f"originals or feedback lost        {report.lost:6}",
            f"differing replicas of points      {report.differing:6}",
        ]
    )


def main() -> int:
    """Run everything, print the table, and return 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=30.0, help="about, at most")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    binary = os.environ.get("QDRANT_BINARY", "")
    if not binary:
        parser.error("QDRANT_BINARY has to name a Qdrant server, as in make chaos-cluster")
    until = time.monotonic() + 60 * args.minutes
    with start_cluster(binary) as cluster:
        runner = NodeDeathRunner(cluster, args.seed)
        for number in range(args.rounds):
            if time.monotonic() > until:
                break
            print(f"round {number + 1}: {runner.kill_once()}", file=sys.stderr, flush=True)
        report = runner.finish()
    print(format_table(report))
    for said, times in Counter(report.given_up).items():
        print(f"gave up with its own node dead, {times} times: {said}")
    print(*(f"failure: {failure}" for failure in report.failures), sep="\n")
    return 0 if report.is_clean and report.kills else 1


if __name__ == "__main__":
    sys.exit(main())
