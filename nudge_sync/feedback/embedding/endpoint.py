"""Embeddings from an endpoint that speaks OpenAI's protocol, tried again where it is busy.

The protocol: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import httpx

from nudge_sync.connector.secrets import read_secret
from nudge_sync.errors import InputError, SourceUnreachable
from nudge_sync.feedback.embedding.embedder import EmbeddingFunction, TextsRefused
from nudge_sync.settings.embed import EMBED_KEY_VARIABLE, EmbedSettings
from nudge_sync.source.http import read_retry_after

_TIMEOUT_SECONDS = 60.0
_FIRST_DELAY_SECONDS = 0.5
_MAX_WAIT_SECONDS = 120.0
"""What one request waits at most, over all its attempts."""
_BUSY_STATUSES = frozenset({408, 409, 425, 429})
_TEXT_STATUSES = frozenset({400, 413, 422})
"""What a server answers to texts that it does not take."""
_KEY_STATUSES = frozenset({401, 403})
_MAX_ERROR_TEXT = 300


def open_endpoint(settings: EmbedSettings) -> EmbeddingFunction:
    """Return a function from n texts to n vectors. Raises ConfigError for a bad key file.

    The function raises SourceUnreachable where the endpoint stays busy or away, TextsRefused for
    texts that it does not take, and InputError for anything else.
    """
    return _Endpoint(
        settings, read_secret(EMBED_KEY_VARIABLE, settings.api_key_file, "embed.api_key_file")
    )


class _Endpoint:
    def __init__(self, settings: EmbedSettings, key: str) -> None:
        self._settings = settings
        self._key = key
        self._address = f"{settings.url}/embeddings"
        self._host = urlsplit(settings.url).netloc

    def __call__(self, texts: list[str]) -> list[list[float]]:
        body: dict[str, Any] = {
            "model": self._settings.model,
            "input": texts,
            "encoding_format": "float",
        }
        if self._settings.dimensions is not None:
            body["dimensions"] = self._settings.dimensions
        answer = self._request(body)
        self._check_status(answer)
        return self._read_vectors(answer, len(texts))

    def _request(self, body: dict[str, Any]) -> httpx.Response:
        """Return the answer, tried again while the server is busy or away."""
        waited, delay = 0.0, _FIRST_DELAY_SECONDS
        while True:
            answer, reason = self._try_once(body)
            if answer is not None and not reason:
                return answer
            asked = answer.headers.get("retry-after", "") if answer is not None else ""
            pause = read_retry_after(asked) if asked else delay
            if waited + pause > _MAX_WAIT_SECONDS:
                raise SourceUnreachable(
                    f"the embedding endpoint {self._host} does not answer: {reason} for "
                    f"{waited:.0f} seconds, and the next attempt would wait for {pause:.0f} more"
                )
            time.sleep(pause)
            waited, delay = waited + pause, 2 * delay

    def _try_once(self, body: dict[str, Any]) -> tuple[httpx.Response | None, str]:
        """Return the answer, and why it is none that counts; "" where it is."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            answer = httpx.post(self._address, json=body, headers=headers, timeout=_TIMEOUT_SECONDS)
        except httpx.TransportError as error:
            return None, self._hide_key(str(error) or type(error).__name__)
        except httpx.HTTPError as error:
            raise InputError(
                f"the embedding endpoint {self._host}: {type(error).__name__}"
            ) from None
        is_busy = answer.status_code in _BUSY_STATUSES or answer.is_server_error
        return answer, f"status {answer.status_code}" if is_busy else ""

    def _check_status(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if answer.is_success:
            return
        where = f"the embedding endpoint {self._host} answered {status}"
        if status in _KEY_STATUSES:
            hint = f"check the key in {EMBED_KEY_VARIABLE} or in the file that api_key_file names"
            raise InputError(f"{where}: {hint}")
        text = self._hide_key(" ".join(answer.text.split()))[:_MAX_ERROR_TEXT]
        kind = TextsRefused if status in _TEXT_STATUSES else InputError
        raise kind(f"{where}: {text}")

    def _read_vectors(self, answer: httpx.Response, count: int) -> list[list[float]]:
        try:
            entries = sorted(answer.json()["data"], key=lambda entry: int(entry["index"]))
            vectors = [entry["embedding"] for entry in entries]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"the embedding endpoint {self._host} answered with what are no embeddings: "
                f"{type(error).__name__}"
            ) from None
        if [int(entry["index"]) for entry in entries] != list(range(count)):
            raise InputError(
                f"the embedding endpoint {self._host} gave {len(vectors)} vectors for {count} texts"
            )
        return vectors

    def _hide_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text
