"""The daemon's port: this machine's own unless told otherwise, then behind a token; never down."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from nudge_sync.errors import ConfigError
from nudge_sync.serve.probes import ProbeEndpoints, require_token, serve_endpoints
from tests.support.workspace import Workspace, make_workspace

TOKEN = "a-token-of-some-length"
PAGES = ProbeEndpoints(lambda: "", lambda: "", lambda: b"metrics 1\n", TOKEN)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    workspace = make_workspace(tmp_path_factory.mktemp("servers") / "shop")
    workspace.write_config('[schedule]\nevery = "1d"')
    return workspace


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve_endpoints("127.0.0.1", 0, PAGES) as found:
        yield found


def list_own_addresses() -> set[str]:
    """This machine's addresses that others could reach."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asking:
        try:
            asking.connect(("192.0.2.1", 9))
        except OSError:
            return set()
        return {asking.getsockname()[0]} - {"127.0.0.1", "0.0.0.0"}


def request_status(port: int, path: str, host: str = "127.0.0.1", **headers: str) -> int:
    with closing(http.client.HTTPConnection(host, port, timeout=20)) as asking:
        asking.request("GET", path, headers=headers)
        return asking.getresponse().status


def test_it_listens_on_this_machine_alone(workspace: Workspace):
    with workspace.start_daemon() as (_, port):
        assert request_status(port, "/metrics") == 200
        for address in list_own_addresses():
            with closing(socket.socket()) as asking:
                asking.settimeout(2)
                assert asking.connect_ex((address, port)) != 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_another_address_demands_a_token(workspace: Workspace, host):
    child = workspace.start_process("serve", "--host", host, "--port", "0", NUDGE_SYNC_TOKEN="")
    _, log = child.communicate(timeout=60)
    assert child.returncode == 2
    assert "NUDGE_SYNC_TOKEN" in log


def test_with_a_token_it_listens_there_and_asks_for_it(workspace: Workspace):
    options = ("--host", "0.0.0.0")
    with workspace.start_daemon(*options, NUDGE_SYNC_TOKEN=TOKEN) as (child, port):
        for host in {"127.0.0.1", *list_own_addresses()}:
            assert request_status(port, "/healthz", host) == 200
            assert request_status(port, "/metrics", host) == 401
            assert request_status(port, "/metrics", host, Authorization=f"Bearer {TOKEN}") == 200
        child.kill()
        _, log = child.communicate()
    assert TOKEN not in log


def test_a_token_may_come_from_a_file_of_ones_own(workspace: Workspace, tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN, encoding="utf-8")
    own = workspace.copy_to(tmp_path / "copy")
    own.write_config(f'[schedule]\nevery = "1d"\n[serve]\ntoken_file = {json.dumps(str(file))}')
    file.chmod(0o644)
    child = own.start_process("serve", "--port", "0", NUDGE_SYNC_TOKEN="")
    assert "chmod 600" in child.communicate(timeout=60)[1]
    assert child.returncode == 2
    file.chmod(0o600)
    with own.start_daemon(NUDGE_SYNC_TOKEN="") as (_, port):
        assert request_status(port, "/metrics") == 401
        assert request_status(port, "/metrics", Authorization=f"Bearer {TOKEN}") == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_addresses_of_this_machine_need_no_token(host):
    require_token(host, "")


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "", "127.1"]
)
def test_all_others_do(host):
    with pytest.raises(ConfigError, match="NUDGE_SYNC_TOKEN"):
        require_token(host, "")
    require_token(host, TOKEN)


@pytest.mark.parametrize("host", ["no host", "x" * 300, "a\0b", "\ud800", "256.1.1.1", "../x"])
def test_an_address_that_is_none_is_a_configuration_error(host):
    with pytest.raises(ConfigError, match="cannot listen"), serve_endpoints(host, 0, PAGES):
        pass


@pytest.mark.parametrize(
    "given",
    [
        *(
            "",
            TOKEN,
            f"bearer {TOKEN[:-1]}",
            f"Bearer {TOKEN} ",
            f"Bearer  {TOKEN}",
            "Bearer",
            "Bearer null",
        ),
        *(
            f"Bearer {TOKEN[:-1]}",
            f"Bearer {TOKEN}x",
            f"Basic {TOKEN}",
            "Bearer \xff",
            "x" * 60_000,
        ),
    ],
)
def test_only_the_token_opens(port, given):
    assert request_status(port, "/metrics", Authorization=given) == 401
    for scheme in ("Bearer", "bearer"):
        assert request_status(port, "/metrics", Authorization=f"{scheme} {TOKEN}") == 200


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/metrics/",
            "//metrics",
            "/../metrics",
            "/healthz/../metrics",
            "/%6detrics",
            "/metrics;a",
        ),
        *("/healthz%00", "/", "/etc/passwd", "/.git/config", "/?x=/healthz", "/" + "a" * 60_000),
    ],
)
def test_no_path_goes_round_the_token(port, path):
    assert request_status(port, path) in {401, 404}


GARBAGE = [
    b"\x00" * 1000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
    b"GET / HTTP/1.1\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
    b"TRACE /metrics HTTP/1.1\r\n\r\n",
    b"DELETE /metrics HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nAuthorization: \xff\xfe\r\n\r\n",
    b"GET \xff\xfe HTTP/1.1\r\n\r\n",
    b"\n" * 1000,
]


@pytest.mark.parametrize("number", range(len(GARBAGE)))
def test_garbage_is_answered_with_an_error_and_nothing_else_happens(port, number):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as asking:
        try:
            asking.sendall(GARBAGE[number])
            asking.shutdown(socket.SHUT_WR)
            answer = asking.recv(65_536)
        except OSError:
            answer = b""  # the server closed the connection before it had read everything
    assert b"metrics 1" not in answer
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert request_status(port, "/healthz") == 200
