"""JSON over HTTP from the server of a source, and what its failures are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import httpx

from nudge_sync.errors import SourceError, SourceUnreachable

_TIMEOUT_SECONDS = 30.0
_MAX_ERROR_TEXT = 300
Parameters: TypeAlias = Mapping[str, Any] | Sequence[tuple[str, Any]]


class JsonClient:
    """Requests to one server, over one connection; nothing is tried again."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=self.url, headers=dict(headers or {}), timeout=_TIMEOUT_SECONDS
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
        try:
            answer = self._client.request(method, path, **arguments)
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
            reason = str(error) or type(error).__name__
            raise SourceUnreachable(f"{self.url} does not answer: {reason}") from error
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise SourceUnreachable(self._describe(answer))
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            raise SourceError(self._describe(answer))
        try:
            return answer.json()
        except ValueError as error:
            raise SourceError(f"{self.url}{path} answered with what is no JSON") from error

    def _describe(self, answer: httpx.Response) -> str:
        text = " ".join(answer.text.split())[:_MAX_ERROR_TEXT]
        return f"{self.url}{answer.url.path} answered {answer.status_code}: {text}"
