"""Carry measured constants forward to collections and logs that nobody has run yet.

    python benchmarks/million_points.py --points 1000000 --judged 20000 --json million.json
    python benchmarks/scale.py --cycle million.json --events-a-second 100000 --bytes-an-event 37
        --solver-growth 1.3

It is arithmetic, not a measurement. A search is taken to grow with the logarithm of the points, as
between the two sizes of `million.json`; reads and writes with the judged points; the solver with a
power of the judged points, of which there are as many as queries: `--solver-growth` is what
`solver_scale.py` printed; reading the log with its events. `--events-a-second` and
`--bytes-an-event` are what a benchmark of the log printed (`feedback_blocks.py`, `columnar_log.py`,
`feedback_scale.py`). `--price` is of an hour of one processor, and an assumption.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIMENSION, FLOAT_BYTES = 384, 4
READS_PER_WRITE = 4
"""To plan, to look again before the write, to compare, and to read back."""
KEPT_VECTORS = 6
"""Of each point: its original, and what the last five revisions wrote."""
PROCESSORS = 2
"""Of the machine that the constants are from."""
SCENARIOS = (
    (10**6, 20_000, 10**7),
    (10**7, 20_000, 10**7),
    (10**9, 20_000, 10**7),
    (10**8, 200_000, 10**9),
    (10**9, 1_000_000, 10**10),
    (10**9, 10_000_000, 10**10),
)
"""Points, judged points, events."""


@dataclass(frozen=True)
class Constants:
    """Seconds, of one judged point or query where nothing else is said."""

    read: float
    search_at_one: float
    search_per_decade: float
    """What a search takes more in a collection ten times as large."""
    solve: float
    """For as many judged points and queries as that run had."""
    solved: int
    """How many that was."""
    solver_growth: float
    """The power of that number with which the solver's time grows."""
    write: float
    memory: float
    """Bytes."""
    event: float
    event_bytes: float

    @classmethod
    def derive(
        cls,
        small: dict[str, Any],
        large: dict[str, Any],
        event: float,
        size: float,
        solver_growth: float,
    ):
        judged = large["distinct vectors read"]
        searches = [figures["  search, s"] / judged for figures in (small, large)]
        per_decade = searches[1] - searches[0]
        solve = large["  solve, s"] + large["  hide documents, s"]
        written = large["  note, s"] + large["  write, s"]
        memory = large["own memory at most, MiB"] - large["own memory before, MiB"]
        return cls(
            read=large["  read, s"] / judged,
            search_at_one=searches[1] - per_decade * math.log10(large["points"]),
            search_per_decade=per_decade,
            solve=solve,
            solved=judged,
            solver_growth=solver_growth,
            write=written / max(1, large["moved"]),
            memory=memory * 2**20 / judged,
            event=event,
            event_bytes=size,
        )

    def estimate(self, points: int, judged: int, events: int) -> dict[str, float]:
        """Return hours by part, and GB."""
        search = self.search_at_one + self.search_per_decade * math.log10(points)
        vector_bytes = DIMENSION * FLOAT_BYTES
        hours = {
            "log": self.event * events / 3600,
            "reads": self.read * judged / 3600,
            "searches": search * judged / 3600,
            "solver": self.solve * (judged / self.solved) ** self.solver_growth / 3600,
            "writes": self.write * judged / 3600,
        }
        gigabytes = {
            "GB read": READS_PER_WRITE * judged * vector_bytes / 1e9,
            "GB kept": KEPT_VECTORS * judged * vector_bytes / 1e9,
            "GB log held": self.event_bytes * events / 1e9,
            "GB solver": self.memory * judged / 1e9,
        }
        return {**hours, "all hours": sum(hours.values()), **gigabytes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycle", type=Path, required=True)
    parser.add_argument("--events-a-second", type=float, required=True)
    parser.add_argument("--bytes-an-event", type=float, required=True)
    parser.add_argument("--solver-growth", type=float, required=True)
    parser.add_argument("--price", type=float, default=0.05)
    given = parser.parse_args()
    small, large = json.loads(given.cycle.read_text(encoding="utf-8"))
    constants = Constants.derive(
        small, large, 1 / given.events_a_second, given.bytes_an_event, given.solver_growth
    )
    for name, value in vars(constants).items():
        print(f"{name:18} {value:12.3g}")
    rows = [constants.estimate(*scenario) for scenario in SCENARIOS]
    print()
    for index, title in enumerate(("points", "judged", "events")):
        print(f"{title:12}" + "".join(f"{scenario[index]:>12.0e}" for scenario in SCENARIOS))
    for name in rows[0]:
        print(f"{name:12}" + "".join(f"{row[name]:>12.3g}" for row in rows))
    prices = [row["all hours"] * PROCESSORS * given.price for row in rows]
    print(f"{'cost':12}" + "".join(f"{price:>12.3g}" for price in prices))


if __name__ == "__main__":
    main()
