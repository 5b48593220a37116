"""`make chaos`: kill processes and servers 200 times in 25 minutes, and count what is lost."""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "connectors"), str(ROOT)]

from tests.support.chaos_runner import ChaosReport, ChaosRunner  # noqa: E402
from tests.support.milvus_server import MilvusServer, start_fresh_milvus  # noqa: E402
from tests.support.qdrant_server.node import start_qdrant  # noqa: E402
from tests.support.ram_disk import ram_folder  # noqa: E402

COLUMNS = {
    "engine": "engine",
    "kills": "kills",
    "survived": "survived",
    "replayed": "batches replayed",
    "lost": "originals lost",
    "differing": "rows not identical",
    "overwritten": "writes overwritten",
}


def kill_embedded_engine(engine: str, kills: int, seconds: float) -> ChaosReport:
    """Kill processes in which the engine itself lives."""
    with ram_folder() as path:
        return kill_repeatedly(ChaosRunner(engine, path), kills, seconds)


def kill_on_milvus(kills: int, seconds: float, restarts: int) -> list[ChaosReport]:
    """Kill processes that write to a Milvus server, and then the server itself."""
    with ram_folder() as path, start_fresh_milvus() as server:
        reports = [kill_repeatedly(ChaosRunner("milvus", path, server.uri), kills, seconds)]
        print(format_table(reports), flush=True)
        runner = ChaosRunner("milvus", path, server.uri, seed=1)
        runner.report.engine = "milvus, server killed"
        for _ in range(restarts):
            runner.kill_database(server.kill, partial(start_server, server))
        return [*reports, runner.finish()]


def kill_on_qdrant(binary: str, kills: int, seconds: float, restarts: int) -> list[ChaosReport]:
    """Kill processes that write to a Qdrant server, and then the server itself."""
    with ram_folder() as path, start_qdrant(binary) as node:
        reports = [kill_repeatedly(ChaosRunner("qdrant", path, node.section), kills, seconds)]
        runner = ChaosRunner("qdrant", path, node.section, seed=1)
        runner.report.engine = "qdrant, server killed"
        for _ in range(restarts):
            runner.kill_database(node.kill, node.start)
        return [*reports, runner.finish()]


def kill_repeatedly(runner: ChaosRunner, kills: int, seconds: float) -> ChaosReport:
    """Kill so many times, or as often as the time allows."""
    until = time.monotonic() + seconds
    while runner.report.kills < kills and time.monotonic() < until:
        runner.kill_once()
    return runner.finish()


def start_server(server: MilvusServer) -> None:
    """Start a server again.

    Some starts panic, more often after a kill and on a busy machine.
    """
    for _ in range(5):
        with suppress(RuntimeError):
            server.start()
            return
    raise RuntimeError(f"no Milvus came up again in {server.directory}")


def format_table(reports: list[ChaosReport]) -> str:
    """Return a table with a line for each engine."""
    rows = [[str(getattr(report, name)) for name in COLUMNS] for report in reports]
    lines = [list(COLUMNS.values()), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def main() -> int:
    """Run everything, print the table, and return 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=210)
    parser.add_argument("--minutes", type=float, default=25.0, help="about, at most")
    args = parser.parse_args()
    share = 60 * args.minutes / 5
    reports = kill_on_milvus(args.kills // 4, share, restarts=4)
    if binary := os.environ.get("QDRANT_BINARY"):
        reports += kill_on_qdrant(binary, args.kills // 4, share, restarts=4)
    reports.append(kill_embedded_engine("milvus-lite", args.kills // 4, share))
    left = args.kills - sum(report.kills for report in reports)
    reports.append(kill_embedded_engine("qdrant-edge", left, 2 * share))
    print(format_table(reports))
    for report in reports:
        print(*(f"{report.engine}: {failure}" for failure in report.failures), sep="\n", end="")
    struck_calls = set().union(*(report.struck_calls for report in reports))
    killed = sum(report.kills for report in reports)
    print(f"{killed} kills; struck at {len(struck_calls)} steps")
    return 0 if all(report.is_clean for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
