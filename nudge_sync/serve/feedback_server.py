"""The HTTP server of the feedback API, in a thread of the daemon."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from nudge_sync.errors import ConfigError
from nudge_sync.serve.feedback_api import DEFAULT_LIMITS, Limits
from nudge_sync.serve.probes import get_address_family


@contextmanager
def serve_feedback_api(
    host: str, port: int, app: FastAPI, limits: Limits = DEFAULT_LIMITS
) -> Iterator[int]:
    """Serve `app` in a thread while the block runs, and yield the port; 0 takes a free one.

    At the end the batches in hand are stored. Raises ConfigError if host and port cannot be
    listened on.
    """
    listener = _listen(host, port)
    settings = uvicorn.Config(
        app,
        loop="asyncio",
        http=_build_connection_class(limits.max_connections),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=limits.max_connections,
        timeout_graceful_shutdown=limits.shutdown_timeout,
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(
        target=server.run, args=([listener],), name="feedback-api", daemon=True
    )
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _build_connection_class(max_connections: int) -> type[H11Protocol]:
    """Return a protocol that closes the oldest idle connection when there are too many.

    uvicorn waits for a first request without limit, and its own limit on connections closes none:
    it turns requests away while other connections are silent.
    """

    class Connection(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.connected_at = self.loop.time()
            if len(self.connections) > max_connections:
                idle = (
                    connection
                    for connection in self.connections
                    if isinstance(connection, Connection)
                    and connection is not self
                    and connection.is_idle()
                )
                oldest = min(idle, key=lambda connection: connection.connected_at, default=self)
                oldest.transport.close()

        def is_idle(self) -> bool:
            has_no_request = self.cycle is None or self.cycle.response_complete
            return has_no_request and not self.transport.is_closing()

    return Connection


def _listen(host: str, port: int) -> socket.socket:
    family = get_address_family(host)
    # An IPv6 server on all addresses takes IPv4 too, as that of the probes does.
    dual_stack = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((host, port), family=family, dualstack_ipv6=dual_stack)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such host"
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}") from None
