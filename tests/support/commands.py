"""The command line on a small embedded collection, in this process or in a child."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner
from worlds import POINTS, Numbers, numbers

from nudge_sync.cli.app import app
from nudge_sync_qdrant_edge import connect, ingest

FILE = """
[database]
connector = "qdrant-edge"
path = {path}
sync = false
[collections.docs]
[solver]
method = "nudge-n"
[gate]
min_queries = {min_queries}
[write]
batch_size = 16
{more}
"""


@dataclass(frozen=True)
class Shop:
    """A folder with shards, a configuration and a file of feedback."""

    folder: Path
    numbers: Numbers

    @property
    def config(self) -> Path:
        return self.folder / "nudge-sync.toml"

    @property
    def feedback(self) -> Path:
        return self.folder / "feedback.jsonl"

    def configure(self, more: str = "", min_queries: int = 20) -> None:
        path = json.dumps(str(self.folder / "shards"))
        text = FILE.format(path=path, more=more, min_queries=min_queries)
        self.config.write_text(text, encoding="utf-8")

    def copied(self, folder: Path) -> Shop:
        """The same shop, somewhere else."""
        shutil.copytree(self.folder, folder)
        shop = Shop(folder, self.numbers)
        shop.configure()
        return shop

    def call(self, *words: str, code: int = 0, stdin: str | None = None) -> Any:
        """What `nudge-sync … --json` prints, from inside this process."""
        variables = {"NUDGE_SYNC_CONFIG": str(self.config)}
        done = CliRunner().invoke(
            app, [*words, "--json"], env=variables, input=stdin, catch_exceptions=False
        )
        assert done.exit_code == code, (words, done.exit_code, done.stderr)
        return json.loads(done.stdout) if done.stdout else done.stderr

    def child(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """`nudge-sync …` as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "nudge_sync", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NUDGE_SYNC_CONFIG": str(self.config), **variables},
        )

    def live(self) -> np.ndarray:
        """All vectors, as they are now."""
        database = connect({"path": str(self.folder / "shards")})
        try:
            return database.collection("docs").read(list(range(POINTS))).vectors
        finally:
            database.close()


def opened_shop(folder: Path) -> Shop:
    """A new shop with the collection "docs" and feedback that waits to be imported."""
    shop = Shop(folder, numbers())
    database = connect({"path": str(folder / "shards"), "sync": False})
    ingest(database, "docs", list(range(POINTS)), shop.numbers.vectors)
    database.close()
    rows = [line for row in range(len(shop.numbers.queries)) for line in _lines(shop, row)]
    shop.feedback.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    shop.configure()
    return shop


def _lines(shop: Shop, row: int) -> list[dict[str, Any]]:
    name, vector = f"q{row}", shop.numbers.queries[row].tolist()
    return [
        {"query_id": name, "query_vector": vector},
        {"query_id": name, "action": "relevant", "point": shop.numbers.answers[row], "grade": 1},
    ]
