"""JSON over HTTP from the server of a source, and what its failures are called."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeAlias

import httpx

from nudge_sync.errors import ConfigError, SourceError, SourceUnreachable

_TIMEOUT_SECONDS = 30.0
_MAX_ERROR_TEXT = 300
_MAX_WAIT_SECONDS = 120.0
"""The longest that a request waits in all because its server asks it to; most limits are by the
minute."""
_DEFAULT_WAIT_SECONDS = 15.0
"""How long to wait where the server does not say."""
Parameters: TypeAlias = Mapping[str, Any] | Sequence[tuple[str, Any]]


class JsonClient:
    """Requests to one server, over one connection.

    One that the server asks to come again later (429, with Retry-After) is sent again after that
    time, for two minutes at most. Nothing else is tried again.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        login: tuple[str, str] | None = None,
        ca_file: Path | None = None,
    ) -> None:
        """Connect to nothing yet. Raises ConfigError where `ca_file` holds no certificate.

        login: name and password, where the server takes those. ca_file: the certificate of the
        authority behind the server's; None: those that are known.
        """
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=self.url,
            headers=dict(headers or {}),
            auth=login,
            timeout=_TIMEOUT_SECONDS,
            verify=True if ca_file is None else _trust(ca_file),
        )

    def get(self, path: str, parameters: Parameters = ()) -> Any:
        """Return the JSON at `path`. Raises SourceUnreachable and SourceError."""
        listed = list(parameters.items()) if isinstance(parameters, Mapping) else list(parameters)
        return self._request("GET", path, params=listed)

    def post(self, path: str, body: Any) -> Any:
        """Return the JSON that answers `body`. Raises SourceUnreachable and SourceError."""
        return self._request("POST", path, json=body)

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._client.close()

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._send(method, path, **arguments)
        waited = 0.0
        while answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            wait = read_retry_after(answer.headers.get("Retry-After", ""))
            waited += wait
            if waited > _MAX_WAIT_SECONDS:
                raise SourceUnreachable(f"{self._describe(answer)} (wait {wait:.0f} s)")
            time.sleep(wait)
            answer = self._send(method, path, **arguments)
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise SourceUnreachable(self._describe(answer))
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            raise SourceError(self._describe(answer))
        try:
            return answer.json()
        except ValueError as error:
            raise SourceError(f"{self.url}{path} answered with what is no JSON") from error

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **arguments)
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
            reason = str(error) or type(error).__name__
            raise SourceUnreachable(f"{self.url} does not answer: {reason}") from error

    def _describe(self, answer: httpx.Response) -> str:
        text = " ".join(answer.text.split())[:_MAX_ERROR_TEXT]
        return f"{self.url}{answer.url.path} answered {answer.status_code}: {text}"


def _trust(ca_file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"ca_file {ca_file}: no certificate can be read: {error}") from None


def read_retry_after(text: str) -> float:
    """Return the seconds that a Retry-After header asks for, from a number or a date.

    At least a second, so that nobody asks in a circle; 15 where it says nothing.
    """
    try:
        return max(1.0, float(text))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return _DEFAULT_WAIT_SECONDS
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(1.0, (aware - datetime.now(UTC)).total_seconds())
