"""A Milvus 2.3.5 server for tests: the binary in the `milvus` wheel, on free ports.

Run as a program, this module is the server's keeper: the leader of a process group, which it kills
as soon as its standard input ends. So no server outlives the process that started it, however that
one ended.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

START_SECONDS = 120
"""How long a server may take to start."""


class MilvusServer:
    """A server over one data directory, which may be killed and started again on the same port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.uri = ""
        self._port = 0
        self._keeper: subprocess.Popen[str] | None = None

    def start(self, *, retry: bool = True) -> None:
        """Start the server, and return when it answers queries.

        retry: try a second time if it fails; about one start in twenty panics.
        """
        command = [sys.executable, __file__, str(self.directory), str(self._port)]
        self._keeper = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        line = self._keeper.stdout.readline()
        if not line:
            self.kill()
            if retry:
                self.start(retry=False)
                return
            raise RuntimeError(f"the Milvus server did not start:\n{self._read_log_tail()}")
        self._port = json.loads(line)["port"]
        self.uri = f"http://127.0.0.1:{self._port}"

    def _read_log_tail(self) -> str:
        log = self.directory / "server.log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else "(no log)"

    def kill(self) -> None:
        """End the server as a power failure would."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(keeper.pid, signal.SIGKILL)
        keeper.wait()
        keeper.stdin.close()
        keeper.stdout.close()


@contextmanager
def find_or_start_milvus() -> Iterator[str]:
    """Yield the address of a server: the one in MILVUS_URI, or a fresh one for this block.

    Raises ModuleNotFoundError without the `milvus` wheel.
    """
    configured_uri = os.environ.get("MILVUS_URI")
    if configured_uri:
        yield configured_uri
        return
    with start_fresh_milvus() as server:
        yield server.uri


@contextmanager
def start_fresh_milvus() -> Iterator[MilvusServer]:
    """Yield a server with an empty data directory; both are gone after the block."""
    import milvus  # noqa: F401, PLC0415 - to fail here and not in the keeper

    directory = Path(tempfile.mkdtemp(prefix="nudge-sync-milvus-"))
    server = MilvusServer(directory)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


def _run_keeper(directory: Path, port: int) -> None:
    """Run the server until it dies or standard input ends, then kill the whole process group."""
    ports = _write_config(directory, port)
    with (directory / "server.log").open("ab") as log:
        child = subprocess.Popen(
            [directory / "bin" / "milvus", "run", "standalone"],
            cwd=directory,
            env=_build_environment(directory, ports),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    if _wait_until_healthy(ports["metrics"], child) and _wait_until_answering(
        ports["proxy"], child
    ):
        sys.stdout.write(json.dumps({"port": ports["proxy"]}) + "\n")
        sys.stdout.flush()
        while child.poll() is None:
            if select.select([sys.stdin], [], [], 1.0)[0]:
                break
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _write_config(directory: Path, port: int) -> dict[str, int]:
    from milvus import MilvusServerConfig  # noqa: PLC0415

    config = MilvusServerConfig(data_dir=str(directory))
    config.resolve()
    if port:
        config.set("proxy_port", port)
        config.write_config()
    if not (directory / "bin").exists():
        (directory / "bin").symlink_to(_unpack_binaries())
    etcd, peer = config.get("etcd_port"), _find_free_port()
    # Milvus moves the address at which it looks for its embedded etcd, but not etcd itself.
    (directory / "etcd.yaml").write_text(
        f"name: default\n"
        f"listen-client-urls: http://127.0.0.1:{etcd}\n"
        f"advertise-client-urls: http://127.0.0.1:{etcd}\n"
        f"listen-peer-urls: http://127.0.0.1:{peer}\n"
        f"initial-advertise-peer-urls: http://127.0.0.1:{peer}\n"
        f"initial-cluster: default=http://127.0.0.1:{peer}\n"
    )
    return {"proxy": config.get("proxy_port"), "metrics": _find_free_port()}


def _build_environment(directory: Path, ports: dict[str, int]) -> dict[str, str]:
    return {
        **os.environ,
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(ports["metrics"]),
        "MILVUS_RUN_DIR": str(directory / "run"),
        "LD_LIBRARY_PATH": str(directory / "bin"),
        "ETCD_CONFIG_PATH": str(directory / "etcd.yaml"),
    }


def _unpack_binaries() -> Path:
    """Return where the binaries are, unpacked once for each environment: it takes ten seconds."""
    import milvus  # noqa: PLC0415

    target = Path(sys.prefix) / "share" / f"milvus-{milvus.__version__}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        unpacked = Path(tempfile.mkdtemp(dir=target.parent))
        milvus._initialize_data_files(str(unpacked))
        with suppress(OSError):  # another process was quicker
            unpacked.rename(target)
    return target / "bin"


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(port: int, child: subprocess.Popen[Any]) -> bool:
    """Return whether the server calls itself healthy in time; a request before may crash it."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            if b"OK" in answer.read():
                return True
        time.sleep(0.2)
    return False


def _wait_until_answering(port: int, child: subprocess.Popen[Any]) -> bool:
    """Return whether the server answers requests in time; a healthy one may not yet."""
    import grpc  # noqa: PLC0415
    from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc  # noqa: PLC0415

    deadline = time.monotonic() + START_SECONDS
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = milvus_pb2_grpc.MilvusServiceStub(channel)
        while time.monotonic() < deadline and child.poll() is None:
            try:
                shown = stub.ShowCollections(milvus_pb2.ShowCollectionsRequest(), timeout=5)
                if shown.status.code == 0 and shown.status.error_code == 0:
                    health = stub.CheckHealth(milvus_pb2.CheckHealthRequest(), timeout=5)
                    if health.isHealthy:
                        return True
            except grpc.RpcError:
                pass
            time.sleep(0.2)
    return False


if __name__ == "__main__":
    _run_keeper(Path(sys.argv[1]), int(sys.argv[2]))
