"""The seconds that each stage of a cycle takes."""

from __future__ import annotations

import time


class StageClock:
    """A `Progress` that sums up the seconds between its calls, by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def __call__(self, stage: str, done: int, total: int) -> None:
        del done, total
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
