"""The socket on which a service manager hears from the processes that it started."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.timeouts import TIMEOUT_SECONDS


@dataclass(frozen=True)
class FakeServiceManager:
    """A socket as systemd's, and where it is."""

    address: str
    listener: socket.socket

    def receive(self, prefix: str) -> str:
        """Return the next message that begins with `prefix`; those before it are dropped."""
        while True:
            message = self.listener.recv(4096).decode()
            if message.startswith(prefix):
                return message


@contextmanager
def listen_as_service_manager(folder: Path) -> Iterator[FakeServiceManager]:
    """Listen while the block runs; a message that does not come in time fails the test."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        address = str(folder / "notify")
        listener.bind(address)
        listener.settimeout(TIMEOUT_SECONDS)
        yield FakeServiceManager(address, listener)
