"""MLflow, filled by its own client, which runs in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from nudge_sync.source.mlflow.source import MlflowSource, open_mlflow
from nudge_sync.testing.source_conformance import LoggedOpinion, LoggedSearch
from tests.support.sources.environments import find_or_make_environment
from tests.support.timeouts import TIMEOUT_SECONDS

PROGRAM = Path(__file__).with_name("mlflow_client.py")


class MlflowClient:
    """A process with MLflow's client, which logs what it is told."""

    def __init__(self, url: str) -> None:
        self.url = url
        python = str(find_or_make_environment("mlflow") / "python")
        self.process = subprocess.Popen(
            [python, "-P", str(PROGRAM), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false"},
        )

    def call(self, name: str, experiment: str, entries: Sequence[dict[str, Any]]) -> list[Any]:
        command = {"call": name, "experiment": experiment, "entries": list(entries)}
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "MLflow's client ended"
        return json.loads(line)


@contextmanager
def start_mlflow_client(url: str) -> Iterator[MlflowClient]:
    client = MlflowClient(url)
    try:
        yield client
    finally:
        client.process.stdin.close()
        client.process.wait(timeout=TIMEOUT_SECONDS)
        client.process.stdout.close()


class MlflowWorld:
    """A new experiment of an MLflow server."""

    def __init__(self, client: MlflowClient, **section: Any) -> None:
        self.client = client
        self.experiment = f"e{uuid4().hex}"
        self.section = {"url": client.url, "experiment": self.experiment, **section}
        self.logged: dict[str, dict[str, str]] = {}
        self.client.call("log_search", self.experiment, [])

    def open(self) -> MlflowSource:
        return open_mlflow(self.section)

    def open_unreachable(self) -> MlflowSource:
        return open_mlflow({**self.section, "url": "http://127.0.0.1:9"})

    def log_searches(self, searches: Sequence[LoggedSearch]) -> None:
        ids = self.client.call("log_search", self.experiment, list(map(asdict, searches)))
        self.logged |= {search.text: entry for search, entry in zip(searches, ids, strict=True)}
        self._wait_for_traces()

    def log_opinions(self, opinions: Sequence[LoggedOpinion]) -> None:
        """Log grades by document on the retriever's span."""
        entries = [
            {
                "trace": self.logged[opinion.search.text]["trace"],
                "span": self.logged[opinion.search.text]["retriever"],
                "name": "relevance",
                "value": {opinion.point: opinion.grade},
                "is_from_model": opinion.is_from_model,
            }
            for opinion in opinions
        ]
        self.client.call("log_feedback", self.experiment, entries)

    def log_thumbs(self, searches: Sequence[LoggedSearch], is_up: bool) -> None:
        """Log a person's thumb on the answer of each search."""
        entries = [
            {
                "trace": self.logged[search.text]["trace"],
                "span": self.logged[search.text]["chain"],
                "name": "thumb",
                "value": is_up,
                "is_from_model": False,
            }
            for search in searches
        ]
        self.client.call("log_feedback", self.experiment, entries)

    def log_expected(self, search: LoggedSearch, points: Sequence[str]) -> None:
        """Log which documents were to be found."""
        entry = {"trace": self.logged[search.text]["trace"], "value": list(points)}
        self.client.call("log_expectation", self.experiment, [entry])

    def _wait_for_traces(self) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self._count_traces() < len(self.logged):
            assert time.monotonic() < deadline, "the server does not store the traces"
            time.sleep(0.1)

    def _count_traces(self) -> int:
        with httpx.Client(base_url=self.client.url, timeout=TIMEOUT_SECONDS) as client:
            found = client.get(
                "/api/2.0/mlflow/experiments/get-by-name",
                params={"experiment_name": self.experiment},
            ).json()
            location = {"experiment_id": found["experiment"]["experiment_id"]}
            body = {
                "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": location}],
                "max_results": 500,
            }
            answer = client.post("/api/3.0/mlflow/traces/search", json=body).json()
            return len(answer.get("traces", []))
