"""What stands before every page: the hosts that are answered, the headers, the last defence."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOGGER = logging.getLogger("nudge_sync")
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: browsers then send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Robots-Tag": "noindex",
}
STATIC_PREFIX = "/static/"
_SAFE_METHODS = frozenset({"GET", "HEAD"})


class Shield:
    """ASGI middleware around the whole console."""

    def __init__(self, app: ASGIApp, list_hosts: Callable[[], Sequence[str]]) -> None:
        """Wrap `app`; list_hosts: names, beside addresses and localhost, that are answered to."""
        self._app = app
        self._list_hosts = list_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                _add_headers(MutableHeaders(scope=message), scope["path"])
            await send(message)

        refusal = self._find_refusal(Request(scope))
        if refusal:
            await PlainTextResponse(f"{refusal}\n", 400)(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - a bug must not end the daemon
            # Without message and traceback, which may quote addresses and data.
            _LOGGER.error(  # noqa: TRY400
                "console: unexpected %s at %s", type(error).__name__, scope["path"][:100]
            )
            if not has_started:
                text = f"unexpected {type(error).__name__}; this is a bug\n"
                await PlainTextResponse(text, 500)(scope, receive, send_with_headers)

    def _find_refusal(self, request: Request) -> str:
        """Return why the request is not answered, "" where it is."""
        if not is_known_host(request.headers.get("host", ""), self._list_hosts()):
            return "this name is not among serve.console_hosts"
        if request.method not in _SAFE_METHODS and not _is_same_origin(request.headers):
            return "the form comes from another site"
        return ""


def _add_headers(headers: MutableHeaders, path: str) -> None:
    for name, value in SECURITY_HEADERS.items():
        headers[name] = value
    headers["Cache-Control"] = "max-age=3600" if path.startswith(STATIC_PREFIX) else "no-store"


def is_known_host(header: str, names: Iterable[str] = ()) -> bool:
    """Return whether a Host header has an IP address, localhost or one of `names`.

    A page of another site whose name is pointed at this machine sends that name as the host.
    """
    try:
        host = (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return False
    return host in {"localhost", *(name.lower() for name in names)} or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_same_origin(headers: Headers) -> bool:
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        origin_host = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    return origin_host == headers.get("host", "").lower()
