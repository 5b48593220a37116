"""What the daemon tells the service manager that started it, by the protocol of sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

ADDRESS_VARIABLE = "NOTIFY_SOCKET"
_WATCHDOG_VARIABLE = "WATCHDOG_USEC"


def notify_ready() -> None:
    """Say that the daemon is up, or that a reload has ended."""
    _send("READY=1")


def notify_reloading() -> None:
    """Say that the configuration is being read again."""
    _send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def notify_stopping() -> None:
    """Say that the daemon is about to end."""
    _send("STOPPING=1")


def notify_alive() -> None:
    """Say that the daemon works, where the service manager asked to be told regularly."""
    if os.environ.get(_WATCHDOG_VARIABLE):
        _send("WATCHDOG=1")


def _send(message: str) -> None:
    """Send a datagram to the service manager, if there is one; a lost one is no reason to fail."""
    address = os.environ.get(ADDRESS_VARIABLE, "")
    if not address:
        return
    # A leading @ stands for the zero byte of Linux's abstract names.
    path = f"\0{address[1:]}" if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        connection.connect(path)
        connection.sendall(message.encode())
