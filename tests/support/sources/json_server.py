"""A small HTTP server in this process, for products of which no server can be had here."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    path: str
    query: dict[str, str]
    headers: Any
    body: bytes


class RefusedRequest(Exception):
    """What a route raises to answer with another status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class JsonServer:
    """Routes from method and path to what they answer; can ask to be left alone for a while."""

    def __init__(self) -> None:
        self.routes: dict[tuple[str, str], Callable[[Request], Any]] = {}
        self.lock = Lock()
        self.url = ""
        self.answered: list[str] = []
        self.busy_answers: list[str] = []
        """Values of Retry-After with which the next requests are turned away."""

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> tuple[int, Any, str]:
        parts = urlsplit(target)
        query = {name: ",".join(values) for name, values in parse_qs(parts.query).items()}
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with self.lock:
            if method == "GET" and self.busy_answers:
                return 429, {"error": "too many requests"}, self.busy_answers.pop(0)
            self.answered.append(parts.path)
            route = self.routes.get((method, parts.path))
            if route is None:
                return 404, {"error": f"no route {method} {parts.path}"}, ""
            try:
                return 200, route(Request(parts.path, query, headers, body)), ""
            except RefusedRequest as refused:
                return refused.status, {"error": str(refused)}, ""


@contextmanager
def serve(server: JsonServer) -> Iterator[str]:
    """Answer on a free port until the block ends; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content, retry_after = server.answer(
                self.command, self.path, self.headers, body
            )
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if retry_after:
                self.send_header("Retry-After", retry_after)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _answer  # noqa: N815 - names that the library asks for

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        thread = Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        server.url = f"http://127.0.0.1:{listener.server_port}"
        try:
            yield server.url
        finally:
            listener.shutdown()
            thread.join()
