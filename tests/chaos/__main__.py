"""The long form: `make chaos`. At least 200 kills in about 25 minutes, and what they cost."""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "connectors"), str(ROOT)]

from chaos_rig import Rig, Toll  # noqa: E402
from milvus_server import MilvusServer, fresh_milvus  # noqa: E402
from ram import folder  # noqa: E402

COLUMNS = {
    "engine": "engine",
    "kills": "kills",
    "survived": "survived",
    "replayed": "batches replayed",
    "lost": "originals lost",
    "differing": "rows not identical",
    "overwritten": "writes overwritten",
}


def embedded(engine: str, kills: int, seconds: float) -> Toll:
    """The engine lives in the process that is killed, and is killed with it."""
    with folder() as path:
        return kill_for(Rig(engine, path), kills, seconds)


def milvus(kills: int, seconds: float, restarts: int) -> list[Toll]:
    """First processes are killed, then the server itself."""
    with folder() as path, fresh_milvus() as server:
        tolls = [kill_for(Rig("milvus", path, server.uri), kills, seconds)]
        print(table(tolls), flush=True)
        rig = Rig("milvus", path, server.uri, seed=1)
        rig.toll.engine = "milvus, server killed"
        for _ in range(restarts):
            rig.kill_database(server.kill, partial(started, server))
        return [*tolls, rig.end()]


def kill_for(rig: Rig, kills: int, seconds: float) -> Toll:
    """That many kills, or as many as fit into the time."""
    until = time.monotonic() + seconds
    while rig.toll.kills < kills and time.monotonic() < until:
        rig.kill_once()
    return rig.end()


def started(server: MilvusServer) -> None:
    """Some starts panic, more so after a kill and on a busy machine."""
    for _ in range(5):
        with suppress(RuntimeError):
            server.start()
            return
    raise RuntimeError(f"no Milvus came up again in {server.directory}")


def table(tolls: list[Toll]) -> str:
    """One line an engine."""
    rows = [[str(getattr(toll, name)) for name in COLUMNS] for toll in tolls]
    lines = [list(COLUMNS.values()), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def main() -> int:
    """0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=210)
    parser.add_argument("--minutes", type=float, default=25.0, help="about, at most")
    args = parser.parse_args()
    share = 60 * args.minutes / 5
    tolls = milvus(args.kills // 4, share, restarts=4)
    tolls.append(embedded("milvus-lite", args.kills // 4, share))
    left = args.kills - sum(toll.kills for toll in tolls)
    tolls.append(embedded("qdrant-edge", left, 2 * share))
    print(table(tolls))
    for toll in tolls:
        print(*(f"{toll.engine}: {what}" for what in toll.broken), sep="\n", end="")
    killed = sum(toll.kills for toll in tolls)
    print(f"{killed} kills; struck at {len(set().union(*(toll.steps for toll in tolls)))} steps")
    return 0 if all(toll.clean for toll in tolls) else 1


if __name__ == "__main__":
    sys.exit(main())
