"""A web server with canned answers, for what a client makes of them."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answers(BaseHTTPRequestHandler):
    """One canned answer to everything, and what was asked."""

    status, body, headers_sent, seen = 200, {}, {}, []

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.seen.append((self.path, self.headers.get("api-key"), self.rfile.read(length)))
        text = json.dumps(self.body).encode()
        self.send_response(self.status)
        for name, value in {"Content-Length": str(len(text)), **self.headers_sent}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815

    def log_message(self, *args):
        pass


@contextmanager
def start_server(handler_class):
    """A web server whose handler class is returned, with the `section` that reaches it."""
    handler = type("Handler", (handler_class,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    handler.section = {"url": f"http://127.0.0.1:{server.server_port}", "timeout": 5}
    try:
        yield handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
