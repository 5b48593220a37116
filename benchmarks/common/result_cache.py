"""Results of a long benchmark in a file of JSON lines, so that an interrupted run goes on."""

from __future__ import annotations

import json
from pathlib import Path


class ResultCache:
    """Results by key, kept in a file of JSON lines if one is given."""

    def __init__(self, path: str | Path | None) -> None:
        self.path = Path(path) if path else None
        lines = self.path.read_text().splitlines() if self.path and self.path.exists() else []
        self.results = dict(map(json.loads, lines))

    def get(self, key, compute):
        if key not in self.results:
            self.results[key] = compute()
            if self.path:
                with self.path.open("a") as file:
                    file.write(json.dumps([key, self.results[key]]) + "\n")
        return self.results[key]
