"""What the daemon tells a service manager, and that it tells nobody where there is none."""

from __future__ import annotations

import os
import re
import socket

import pytest

from nudge_sync.serve.service_manager import (
    ADDRESS_VARIABLE,
    notify_alive,
    notify_ready,
    notify_reloading,
    notify_stopping,
)
from tests.support.operations.service_manager import listen_as_service_manager


def test_each_state_is_a_message(tmp_path, monkeypatch):
    with listen_as_service_manager(tmp_path) as manager:
        monkeypatch.setenv(ADDRESS_VARIABLE, manager.address)
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        for notify in (notify_ready, notify_reloading, notify_alive, notify_stopping):
            notify()
        assert manager.listener.recv(4096) == b"READY=1"
        # systemd compares the time with its own clock, the same for every process.
        assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", manager.listener.recv(4096))
        assert manager.listener.recv(4096) == b"WATCHDOG=1"
        assert manager.listener.recv(4096) == b"STOPPING=1"


def test_an_abstract_address_is_one_of_linux(monkeypatch):
    name = f"nudge-sync-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(60)
        monkeypatch.setenv(ADDRESS_VARIABLE, f"@{name}")
        notify_ready()
        assert listener.recv(4096) == b"READY=1"


def test_only_who_asked_is_told_that_all_is_well(tmp_path, monkeypatch):
    with listen_as_service_manager(tmp_path) as manager:
        monkeypatch.setenv(ADDRESS_VARIABLE, manager.address)
        monkeypatch.delenv("WATCHDOG_USEC", raising=False)
        notify_alive()
        notify_stopping()
        assert manager.listener.recv(4096) == b"STOPPING=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify"])
def test_nobody_to_tell_is_no_reason_to_fail(address, monkeypatch):
    monkeypatch.setenv(ADDRESS_VARIABLE, address)
    notify_ready()
