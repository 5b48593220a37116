"""The command line on a small embedded collection, in this process or in a child."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
from typer.testing import CliRunner

from nudge_sync.cli.app import app
from nudge_sync_qdrant_edge import connect, ingest
from tests.support.sample_collection import POINTS, SyntheticData, make_synthetic_data
from tests.support.timeouts import TIMEOUT_SECONDS

CONFIG_TEMPLATE = """
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
class Workspace:
    """A folder with shards, a configuration and a file of feedback."""

    folder: Path
    data: SyntheticData

    @property
    def config_path(self) -> Path:
        return self.folder / "nudge-sync.toml"

    @property
    def feedback_path(self) -> Path:
        return self.folder / "feedback.jsonl"

    def write_config(self, extra_toml: str = "", min_queries: int = 20) -> None:
        path = json.dumps(str(self.folder / "shards"))
        text = CONFIG_TEMPLATE.format(path=path, more=extra_toml, min_queries=min_queries)
        self.config_path.write_text(text, encoding="utf-8")

    def copy_to(self, folder: Path) -> Workspace:
        """Copy the shards and the feedback to another folder, and return it as a workspace."""
        shutil.copytree(self.folder, folder)
        workspace = Workspace(folder, self.data)
        workspace.write_config()
        return workspace

    def run(self, *words: str, code: int = 0, stdin: str | None = None) -> Any:
        """Run `nudge-sync … --json` inside this process, and return what it printed.

        For an error that is what stands on stderr, once stdout is found to say the same.
        """
        variables = {"NUDGE_SYNC_CONFIG": str(self.config_path)}
        result = CliRunner().invoke(
            app, [*words, "--json"], env=variables, input=stdin, catch_exceptions=False
        )
        assert result.exit_code == code, (words, result.exit_code, result.stderr)
        value = json.loads(result.stdout) if result.stdout else None
        if value is None or (isinstance(value, dict) and value.keys() == {"error"}):
            if value is not None:
                assert value["error"]["exit_code"] == code
                assert value["error"]["message"] in result.stderr
            return result.stderr
        return value

    def start_process(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start `nudge-sync …` as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "nudge_sync", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Whoever reads a part of it may stop within a letter of a progress bar.
            errors="replace",
            env={**os.environ, "NUDGE_SYNC_CONFIG": str(self.config_path), **variables},
        )

    @contextmanager
    def start_daemon(
        self, *words: str, **variables: str
    ) -> Iterator[tuple[subprocess.Popen[str], int]]:
        """Start the daemon on a free port, and kill it in the end; the process, and that port."""
        child = self.start_process(
            "serve", "--port", "0", "--log-format", "json", *words, **variables
        )
        try:
            yield child, json.loads(wait_for_line(child, '"listening"'))["port"]
        finally:
            child.kill()
            child.communicate()

    def read_vectors(self) -> np.ndarray:
        """Return all vectors as they are now."""
        database = connect({"path": str(self.folder / "shards")})
        try:
            return database.collection("docs").read(list(range(POINTS))).vectors
        finally:
            database.close()


def wait_for_line(child: subprocess.Popen[str], text: str) -> str:
    """Read the log of a process up to the first line that holds the text, and return that line.

    A process that does not say it is killed, so that the log ends.
    """
    assert child.stderr is not None
    log = []
    killing = Timer(TIMEOUT_SECONDS, child.kill)
    killing.start()
    try:
        for line in child.stderr:
            log.append(line)
            if text in line:
                return line
    finally:
        killing.cancel()
    raise AssertionError(f"no line with {text}: {''.join(log)}")


def make_workspace(folder: Path) -> Workspace:
    """Make a folder with the collection "docs" and feedback that is not imported yet."""
    workspace = Workspace(folder, make_synthetic_data())
    database = connect({"path": str(folder / "shards"), "sync": False})
    ingest(database, "docs", list(range(POINTS)), workspace.data.vectors)
    database.close()
    rows = [
        line
        for row in range(len(workspace.data.queries))
        for line in _make_feedback_lines(workspace, row)
    ]
    workspace.feedback_path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    workspace.write_config()
    return workspace


def _make_feedback_lines(workspace: Workspace, row: int) -> list[dict[str, Any]]:
    name, vector = f"q{row}", workspace.data.queries[row].tolist()
    return [
        {"query_id": name, "query_vector": vector},
        {"query_id": name, "action": "relevant", "point": workspace.data.answers[row], "grade": 1},
    ]
