"""Notifications: what was decided, posted as signed JSON, and tried again for a while.

The request follows the Standard Webhooks specification: the headers `webhook-id`,
`webhook-timestamp` and, with a secret, `webhook-signature`. The body's `text` is a sentence, which
is what Slack and what is compatible with it show.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import math
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from nudge_sync.errors import ConfigError
from nudge_sync.serve.log_lines import log_message

URL_VARIABLE = "NUDGE_SYNC_WEBHOOK_URL"
SECRET_VARIABLE = "NUDGE_SYNC_WEBHOOK_SECRET"  # noqa: S105 - the variable's name
RETRY_DELAYS = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds between attempts; after the last one a notification is given up."""
_TIMEOUT_SECONDS = 10.0
_CAPACITY = 200
"""Notifications that wait; of more, the oldest are given up."""
_SECRET_PREFIX = "whsec_"  # noqa: S105 - how the specification marks a secret
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True)
class Notification:
    """Something that was decided about a collection."""

    type: str
    """Such as "cycle.applied" or "experiment.harm"."""
    collection: str
    text: str
    """A sentence for people."""
    data: Mapping[str, Any] = field(default_factory=dict)
    message_id: str = field(default_factory=lambda: f"msg_{uuid4().hex}")
    time: float = field(default_factory=time.time)
    """Seconds since 1970."""

    def to_body(self) -> bytes:
        """Return the notification as JSON; numbers that JSON does not have are null."""
        document = {
            "type": self.type,
            "timestamp": datetime.fromtimestamp(self.time, UTC).isoformat(timespec="seconds"),
            "collection": self.collection,
            "text": self.text,
            "data": _replace_non_finite(dict(self.data)),
        }
        # Half a surrogate pair, which an id or an error may hold, has no UTF-8.
        return json.dumps(document, default=str, ensure_ascii=False).encode(errors="replace")


def _replace_non_finite(value: Any) -> Any:
    """Return a value of JSON with null in place of NaN and infinities."""
    if isinstance(value, Mapping):
        return {key: _replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_non_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a request, as the specification has it.

    HMAC-SHA256 of id, time and body, with dots between them.
    """
    signed = b".".join([message_id.encode(), str(timestamp).encode(), body])
    return f"v1,{base64.b64encode(hmac.digest(secret, signed, 'sha256')).decode()}"


def parse_secret(text: str) -> bytes:
    """Return the key in a secret: base64, with or without `whsec_` before it. Raises ConfigError.

    Empty: requests are not signed.
    """
    try:
        return base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError:
        raise ConfigError(
            f"{SECRET_VARIABLE}: expected base64, such as `openssl rand -base64 32` prints"
        ) from None


class Webhook:
    """Posts notifications in order, in a thread of its own; the caller never waits.

    url: http or https; redirects are not followed. delays: seconds between attempts. What cannot be
    delivered is given up and logged, without the address, which may hold a secret.
    """

    def __init__(
        self, url: str, secret: str = "", delays: tuple[float, ...] = RETRY_DELAYS
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError(
                f"{URL_VARIABLE}: expected an address that starts with http:// or https://"
            )
        self._url, self._secret, self._delays = url, parse_secret(secret), delays
        self._waiting: deque[Notification] = deque()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._opener = urllib.request.build_opener(_RefuseRedirects)

    def send(self, notification: Notification) -> None:
        """Queue a notification; never raises."""
        while len(self._waiting) >= _CAPACITY:
            self._give_up(self._waiting.popleft(), "too many wait")
        self._waiting.append(notification)
        self._wake.set()

    @contextmanager
    def run(self) -> Iterator[Webhook]:
        """Deliver while inside; on leaving, what waits is tried once more."""
        thread = threading.Thread(target=self._deliver_all, name="webhook", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._closing.set()
            self._wake.set()
            thread.join(_CLOSE_SECONDS)

    def _deliver_all(self) -> None:
        while not (self._closing.is_set() and not self._waiting):
            self._wake.wait()
            self._wake.clear()
            while self._waiting:
                notification = self._waiting.popleft()
                try:
                    reason = self._deliver(notification)
                except Exception as error:  # noqa: BLE001 - later notifications are still to come
                    reason = type(error).__name__
                if reason:
                    self._give_up(notification, reason)

    def _deliver(self, notification: Notification) -> str:
        """Post a notification until it is taken, and return why it was not; "" where it was."""
        body = notification.to_body()
        reason = self._post(notification.message_id, body)
        for delay in self._delays:
            if not reason or self._closing.wait(delay):
                break
            reason = self._post(notification.message_id, body)
        return reason

    def _post(self, message_id: str, body: bytes) -> str:
        """Post a notification once, and return why that failed; "" where it did not."""
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
        }
        if self._secret:
            headers["webhook-signature"] = sign(self._secret, message_id, timestamp, body)
        request = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS):
                return ""
        except urllib.error.HTTPError as error:
            with error:
                return f"answered with {error.code}"
        except (OSError, HTTPException, ValueError) as error:
            return type(error).__name__

    def _give_up(self, notification: Notification, reason: str) -> None:
        log_message(
            logging.WARNING,
            "webhook not delivered",
            collection=notification.collection,
            type=notification.type,
            reason=reason,
        )


class _RefuseRedirects(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for a refusal: the notification is for this address alone."""

    def redirect_request(self, *_: Any) -> None:
        return None
