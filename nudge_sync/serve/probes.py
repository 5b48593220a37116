"""The daemon's HTTP side: /healthz, /readyz, /metrics."""

from __future__ import annotations

import hmac
import ipaddress
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from nudge_sync.errors import ConfigError
from nudge_sync.serve.prometheus import CONTENT_TYPE

TOKEN = "NUDGE_SYNC_TOKEN"  # noqa: S105 - the variable's name
_OPEN = {"/healthz", "/readyz"}


@dataclass(frozen=True)
class Page:
    """An answer."""

    status: HTTPStatus
    text: bytes
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Pages:
    """What the daemon knows: each is "" where all is well, or the reason why not."""

    unhealthy: Callable[[], str]
    unready: Callable[[], str]
    metrics: Callable[[], bytes]
    token: str = ""

    def answer(self, path: str, authorization: str) -> Page:
        """The page at `path`; everything but the two probes needs the token, if there is one."""
        if path not in _OPEN and not admitted(self.token, authorization):
            return Page(HTTPStatus.UNAUTHORIZED, b"a bearer token is needed\n")
        if path == "/healthz":
            return _probe(self.unhealthy())
        if path == "/readyz":
            return _probe(self.unready())
        if path == "/metrics":
            return Page(HTTPStatus.OK, self.metrics(), CONTENT_TYPE)
        return Page(HTTPStatus.NOT_FOUND, b"/healthz /readyz /metrics\n")


def admitted(token: str, authorization: str) -> bool:
    """Whether the header bears the token, if there is one; takes equally long for any other."""
    # RFC 9110, 11.1: the scheme's case is open.
    scheme, _, given = authorization.partition(" ")
    bears = hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
    return not token or (bears and scheme.lower() == "bearer")


def _probe(reason: str) -> Page:
    if reason:
        return Page(HTTPStatus.SERVICE_UNAVAILABLE, f"{reason}\n".encode())
    return Page(HTTPStatus.OK, b"ok\n")


def refuse_open_door(host: str, token: str) -> None:
    """Raises ConfigError where `host` can be reached from outside and there is no token."""
    if not token and not _is_loopback(host):
        raise ConfigError(
            f"serve.host {host} can be reached from other machines: set {TOKEN} in the "
            "environment, or serve.host to 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def answering(host: str, port: int, pages: Pages) -> Iterator[int]:
    """Answer in the background; gives the port. Raises ConfigError where it cannot be had."""
    try:
        server = _Server((host, port), _handler(pages))
    except (OSError, ValueError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such host"
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}") from None
    thread = threading.Thread(target=server.serve_forever, name="status", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no event."""


def _handler(pages: Pages) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "nudge-sync"
        sys_version = ""
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            page = pages.answer(path, self.headers.get("Authorization", ""))
            self.send_response(page.status)
            self.send_header("Content-Type", page.content_type)
            self.send_header("Content-Length", str(len(page.text)))
            self.end_headers()
            self.wfile.write(page.text)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds: not logged."""

    return Handler
