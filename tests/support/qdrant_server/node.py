"""One Qdrant server in a process of its own, on free ports of the loopback address."""

from __future__ import annotations

import os
import random
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.qdrant_server.certificates import Certificates
from tests.support.ram_disk import ram_folder

START_SECONDS = 120
"""How long a server may take to answer."""
_PORTS = range(20_000, 32_000)
"""Below those that the system gives out by itself, so that the ports of a node that is dead for a
while are still free when it comes back."""
_SMALL_SERVER = {
    "QDRANT__TELEMETRY_DISABLED": "true",
    "QDRANT__LOG_LEVEL": "WARN",
    "QDRANT__SERVICE__HOST": "127.0.0.1",
    "QDRANT__SERVICE__MAX_WORKERS": "2",
    "QDRANT__STORAGE__WAL__WAL_CAPACITY_MB": "1",
    "QDRANT__STORAGE__PERFORMANCE__MAX_SEARCH_THREADS": "1",
    "QDRANT__STORAGE__PERFORMANCE__OPTIMIZER_CPU_BUDGET": "1",
    "QDRANT__STORAGE__OPTIMIZERS__DEFAULT_SEGMENT_NUMBER": "1",
}
"""Few threads and small files: several servers share one machine."""


@dataclass(frozen=True)
class ServerOptions:
    """What a server asks of its clients, and further settings of its own."""

    api_key: str = ""
    read_only_api_key: str = ""
    tokens: bool = False
    """Whether tokens signed with the API key are taken too (Qdrant's `jwt_rbac`)."""
    certificates: Certificates | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further settings, as `QDRANT__…` variables."""

    def build_environment(self) -> dict[str, str]:
        """Return these options as environment variables of the server."""
        environment = dict(_SMALL_SERVER)
        if self.api_key:
            environment["QDRANT__SERVICE__API_KEY"] = self.api_key
        if self.read_only_api_key:
            environment["QDRANT__SERVICE__READ_ONLY_API_KEY"] = self.read_only_api_key
        if self.tokens:
            environment["QDRANT__SERVICE__JWT_RBAC"] = "true"
        if self.certificates is not None:
            environment |= {
                "QDRANT__SERVICE__ENABLE_TLS": "true",
                "QDRANT__TLS__CERT": str(self.certificates.certificate),
                "QDRANT__TLS__KEY": str(self.certificates.key),
                "QDRANT__TLS__CA_CERT": str(self.certificates.authority),
            }
        return environment | dict(self.environment)


class QdrantNode:
    """A server over one folder, which may be killed and started again on the same ports."""

    def __init__(
        self, binary: str, folder: Path, options: ServerOptions | None = None, *arguments: str
    ) -> None:
        """Choose ports; `arguments` are added to the command line."""
        self.folder = folder
        self.options = options or ServerOptions()
        self.arguments = arguments
        self.http_port, self.grpc_port, self.p2p_port = find_free_ports(3)
        self._binary = binary
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of its REST interface."""
        scheme = "https" if self.options.certificates is not None else "http"
        return f"{scheme}://127.0.0.1:{self.http_port}"

    @property
    def section(self) -> dict[str, Any]:
        """The address as keys of the `[database]` table."""
        section: dict[str, Any] = {"url": self.url, "grpc_port": self.grpc_port}
        if self.options.certificates is not None:
            section["ca_certificate"] = str(self.options.certificates.authority)
        return section

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._keeper is not None and self._keeper.poll() is None

    def start(self) -> None:
        """Start the process; it does not answer yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        keeper = Path(__file__).with_name("keeper.py")
        self._keeper = subprocess.Popen(
            [
                *(sys.executable, "-S", keeper, self.folder / "server.log"),
                *(self._binary, "--disable-telemetry", *self.arguments),
            ],
            cwd=self.folder,
            env={**os.environ, **self.options.build_environment(), **self._build_paths()},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        """End the process as a power failure would. May be called twice."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.stdin.close()
            keeper.wait()

    def wait_until_answering(self) -> None:
        """Return when the server answers. Raises RuntimeError, with the end of its log."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.is_running:
            with suppress(httpx.HTTPError):
                self.request("GET", "/readyz", seconds=5)
                return
            time.sleep(0.1)
        self.kill()
        raise RuntimeError(f"the Qdrant server did not start:\n{self._read_log_tail()}")

    def request(self, method: str, path: str, body: Any = None, seconds: float = 60) -> Any:
        """Return the `result` of a request of the REST interface. Raises httpx.HTTPError."""
        certificates = self.options.certificates
        verify: Any = True
        if certificates is not None:
            verify = ssl.create_default_context(cafile=certificates.authority)
        headers = {"api-key": self.options.api_key} if self.options.api_key else {}
        with httpx.Client(verify=verify, headers=headers, timeout=seconds) as client:
            answer = client.request(method, self.url + path, json=body)
        if answer.is_error:
            raise httpx.HTTPStatusError(
                f"{method} {path}: {answer.status_code} {answer.text}",
                request=answer.request,
                response=answer,
            )
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.json()["result"] if is_json else answer.content

    def _build_paths(self) -> dict[str, str]:
        return {
            "QDRANT__STORAGE__STORAGE_PATH": str(self.folder / "storage"),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.folder / "snapshots"),
            "QDRANT__SERVICE__HTTP_PORT": str(self.http_port),
            "QDRANT__SERVICE__GRPC_PORT": str(self.grpc_port),
            "QDRANT__CLUSTER__P2P__PORT": str(self.p2p_port),
        }

    def _read_log_tail(self) -> str:
        log = self.folder / "server.log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else "(no log)"


@contextmanager
def start_qdrant(
    binary: str, options: ServerOptions | None = None, folder: Path | None = None
) -> Iterator[QdrantNode]:
    """Yield a fresh server that answers; it ends with the block, however that ends."""
    with ram_folder() as ram:
        node = QdrantNode(binary, folder or ram / "node", options)
        try:
            node.start()
            node.wait_until_answering()
            yield node
        finally:
            node.kill()


def find_free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens, drawn at random so that two tests rarely meet."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in ports:
                ports.append(port)
    return ports
