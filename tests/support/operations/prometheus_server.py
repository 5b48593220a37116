"""A real Prometheus on a port of its own, with the configuration and the rules of deploy/."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

from tests.support.operations.running_daemon import wait_until
from tests.support.operations.tools import find_tool
from tests.support.source_code import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"


@dataclass(frozen=True)
class PrometheusServer:
    """A server that runs, and its HTTP API."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of the API; a request that it refuses raises HTTPError."""
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}") as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the samples that an expression selects now."""
        return list(self.ask("query", query=expression)["result"])

    def is_ready(self) -> bool:
        """Return whether the server takes questions."""
        with suppress(URLError), urlopen(f"{self.url}/-/ready"):
            return True
        return False


@contextmanager
def start_prometheus(folder: Path, target: str, token: str) -> Iterator[PrometheusServer]:
    """Start a server that scrapes the daemon at the address `target`, each second."""
    config = write_prometheus_config(folder, urlsplit(target).netloc, token)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    words = (f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}")
    child = subprocess.Popen(
        [find_tool("prometheus"), *words, f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        server = PrometheusServer(f"http://127.0.0.1:{port}")
        wait_until(server.is_ready)
        yield server
    finally:
        child.terminate()
        child.wait()


def write_prometheus_config(folder: Path, target: str, token: str) -> Path:
    """Write deploy/'s own configuration with another target, token file and interval."""
    token_path = folder / "token"
    token_path.write_text(token, encoding="utf-8")
    text = (PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8")
    for old, new in (
        ("/run/secrets/nudge_sync_token", str(token_path)),
        ("nudge-sync:9464", target),
        ("rules.yml", str(PROMETHEUS / "rules.yml")),
        ("30s", "1s"),
    ):
        assert old in text
        text = text.replace(old, new)
    path = folder / "prometheus.yml"
    path.write_text(text, encoding="utf-8")
    return path
