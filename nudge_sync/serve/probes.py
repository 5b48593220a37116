"""The daemon's HTTP side: /healthz, /readyz, /metrics."""

from __future__ import annotations

import hmac
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from nudge_sync.errors import ConfigError
from nudge_sync.serve.prometheus import METRICS_CONTENT_TYPE

TOKEN_VARIABLE = "NUDGE_SYNC_TOKEN"  # noqa: S105 - the variable's name
_PUBLIC_PATHS = {"/healthz", "/readyz"}


@dataclass(frozen=True)
class HttpResponse:
    """What is sent back to one request."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class ProbeEndpoints:
    """What /healthz, /readyz and /metrics answer with, and the token that opens the last."""

    find_health_problem: Callable[[], str]
    find_readiness_problem: Callable[[], str]
    """Each gives the reason why not, or "" where all is well."""
    render_metrics: Callable[[], bytes]
    token: str = ""

    def answer(self, path: str, authorization: str) -> HttpResponse:
        """Return the page at `path`; all but the two probes demand the token, if there is one."""
        if path not in _PUBLIC_PATHS and not is_authorised(self.token, authorization):
            return HttpResponse(HTTPStatus.UNAUTHORIZED, b"a bearer token is needed\n")
        if path == "/healthz":
            return _answer_probe(self.find_health_problem())
        if path == "/readyz":
            return _answer_probe(self.find_readiness_problem())
        if path == "/metrics":
            return HttpResponse(HTTPStatus.OK, self.render_metrics(), METRICS_CONTENT_TYPE)
        return HttpResponse(HTTPStatus.NOT_FOUND, b"/healthz /readyz /metrics\n")


def is_authorised(token: str, authorization: str) -> bool:
    """Return whether the Authorization header has the token, or no token is set.

    A wrong token takes equally long however much of it is right.
    """
    # RFC 9110, 11.1: the scheme's case is open.
    scheme, _, given_token = authorization.partition(" ")
    token_matches = hmac.compare_digest(given_token.encode("utf-8", "replace"), token.encode())
    return not token or (token_matches and scheme.lower() == "bearer")


def _answer_probe(reason: str) -> HttpResponse:
    if reason:
        return HttpResponse(HTTPStatus.SERVICE_UNAVAILABLE, f"{reason}\n".encode())
    return HttpResponse(HTTPStatus.OK, b"ok\n")


def require_token(host: str, token: str) -> None:
    """Raise ConfigError where `host` can be reached from outside and there is no token."""
    if not token and not _is_loopback(host):
        raise ConfigError(
            f"serve.host {host} can be reached from other machines: set {TOKEN_VARIABLE} in the "
            "environment, or serve.host to 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def serve_endpoints(host: str, port: int, endpoints: ProbeEndpoints) -> Iterator[int]:
    """Answer in the background while inside; gives the port.

    port: 0 takes any free one. Raises ConfigError where the address cannot be used.
    """
    try:
        server = _Server((host, port), _build_handler(endpoints))
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


def get_address_family(host: str) -> socket.AddressFamily:
    """Return the kind of socket that listens on a host: IPv6 for its addresses, else IPv4."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = get_address_family(address[0])
        super().__init__(address, handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore the error: a client that went away is nothing to report."""


def _build_handler(endpoints: ProbeEndpoints) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "nudge-sync"
        sys_version = ""
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            response = endpoints.answer(path, self.headers.get("Authorization", ""))
            self.send_response(response.status)
            self.send_header("Content-Type", response.content_type)
            self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            self.wfile.write(response.body)

        def log_message(self, *_: object) -> None:
            """Log nothing: probes come every few seconds."""

    return Handler
