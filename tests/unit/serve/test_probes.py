"""What each path answers; how the port stands up to strangers is in tests/hostile."""

from __future__ import annotations

from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from nudge_sync.errors import ConfigError
from nudge_sync.serve.probes import ProbeEndpoints, is_authorised, serve_endpoints


def make_endpoints(problem: str = "", token: str = "") -> ProbeEndpoints:
    return ProbeEndpoints(lambda: "", lambda: problem, lambda: b"metrics 1\n", token)


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/healthz", HTTPStatus.OK, b"ok\n"),
        ("/readyz", HTTPStatus.SERVICE_UNAVAILABLE, b"stopping\n"),
        ("/metrics", HTTPStatus.OK, b"metrics 1\n"),
        ("/", HTTPStatus.NOT_FOUND, b"/healthz /readyz /metrics\n"),
    ],
)
def test_each_path_has_its_answer(path, status, body):
    response = make_endpoints("stopping").answer(path, "")
    assert (response.status, response.body) == (status, body)


def test_the_token_is_asked_for_everywhere_but_at_the_probes():
    endpoints = make_endpoints(token="abc")
    for path in ("/metrics", "/else"):
        assert endpoints.answer(path, "").status == HTTPStatus.UNAUTHORIZED
        assert endpoints.answer(path, "Bearer abc").status != HTTPStatus.UNAUTHORIZED
    for path in ("/healthz", "/readyz"):
        assert endpoints.answer(path, "").status == HTTPStatus.OK


@pytest.mark.parametrize(
    ("token", "header", "expected"),
    [
        ("", "", True),
        ("", "Bearer x", True),
        ("abc", "Bearer abc", True),
        ("abc", "bearer abc", True),
        ("abc", "Basic abc", False),
        ("abc", "Bearer ab", False),
        ("abc", "", False),
        ("abc", "Bearer \udcff", False),
    ],
)
def test_only_the_bearer_of_the_token_is_authorised(token, header, expected):
    assert is_authorised(token, header) is expected


def test_the_answers_come_over_http_until_the_end():
    with serve_endpoints("127.0.0.1", 0, make_endpoints("stopping")) as port:
        url = f"http://127.0.0.1:{port}"
        with urlopen(f"{url}/metrics?x=1") as response:
            assert response.read() == b"metrics 1\n"
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{url}/readyz")
        assert (refused.value.code, refused.value.read()) == (503, b"stopping\n")
        refused.value.close()
        with (
            pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"),
            serve_endpoints("127.0.0.1", port, make_endpoints()),
        ):
            pass
    with pytest.raises(OSError, match="refused"):
        urlopen(f"{url}/healthz")


@pytest.mark.parametrize("host", ["::1", "::"])
def test_an_ipv6_address_can_be_listened_on(host):
    with (
        serve_endpoints(host, 0, make_endpoints()) as port,
        urlopen(f"http://[::1]:{port}/healthz"),
    ):
        pass
