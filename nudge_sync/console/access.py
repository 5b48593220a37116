"""Who may look at the console and who may act: tokens, sessions, proofs against forged forms."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from nudge_sync.errors import ConfigError

READ_TOKEN_VARIABLE = "NUDGE_SYNC_CONSOLE_TOKEN"  # noqa: S105 - the variable's name
ACTION_TOKEN_VARIABLE = "NUDGE_SYNC_CONSOLE_ACTION_TOKEN"  # noqa: S105
MIN_TOKEN_LENGTH = 16
"""Characters: a shorter token could be guessed at over the network."""
SESSION_SECONDS = 12 * 3600.0
MAX_SESSIONS = 1000
"""Beyond them the oldest ends."""
MAX_VISITOR_NAME_LENGTH = 100
"""Characters of a visitor's name that are kept."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who has shown a token."""

    name: str
    """What they call themselves, or what the reverse proxy says; "" if nobody said."""
    may_act: bool
    key: str
    """What their proofs are bound to: the session, or the token and name of a request without."""


@dataclass(frozen=True, slots=True)
class _Session:
    visitor: Visitor
    expires: float


@dataclass
class Access:
    """The tokens of one console, and who has signed in with them.

    read_token opens every page; action_token also lets somebody act. "" is no token at all: then
    nobody has that right. Sessions are kept in memory alone, and end with the process.
    """

    read_token: str
    action_token: str = ""
    clock: Callable[[], float] = time.monotonic
    _sessions: dict[str, _Session] = field(default_factory=dict, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)
    _proof_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), init=False)

    def replace_tokens(self, read_token: str, action_token: str) -> None:
        """Go on by other tokens; whoever signed in with one that is no more is signed out."""
        replaced = {
            may_act
            for may_act, before, now in (
                (False, self.read_token, read_token),
                (True, self.action_token, action_token),
            )
            if before != now
        }
        with self._lock:
            self.read_token, self.action_token = read_token, action_token
            self._sessions = {
                key: stored
                for key, stored in self._sessions.items()
                if stored.visitor.may_act not in replaced
            }

    def sign_in(self, token: str, name: str) -> str | None:
        """Return a new session for a right token, else None."""
        may_act = self._check_token(token)
        if may_act is None:
            return None
        session = secrets.token_urlsafe(32)
        visitor = Visitor(clean_name(name), may_act, session)
        with self._lock:
            self._drop_expired()
            while len(self._sessions) >= MAX_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[session] = _Session(visitor, self.clock() + SESSION_SECONDS)
        return session

    def sign_out(self, session: str) -> None:
        """End a session; nothing happens where there is none."""
        with self._lock:
            self._sessions.pop(session, None)

    def find_visitor(self, session: str, authorization: str, name: str) -> Visitor | None:
        """Return who sends a request, or None.

        session: of the cookie. authorization: the header; a reverse proxy may add it, and then
        also says who it is for in `name`. Both are believed only with a right token.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer":
            may_act = self._check_token(token.strip())
            if may_act is None:
                return None
            shown_name = clean_name(name)
            return Visitor(shown_name, may_act, f"token {may_act} {shown_name}")
        with self._lock:
            stored = self._sessions.get(session)
        return stored.visitor if stored and stored.expires > self.clock() else None

    def prove(self, visitor: Visitor) -> str:
        """Return what a form has to carry so that it is known to come from a page of ours."""
        return hmac.new(self._proof_key, visitor.key.encode(), hashlib.sha256).hexdigest()

    def is_proof(self, visitor: Visitor, proof: str) -> bool:
        """Return whether a form's proof is this visitor's."""
        return _is_equal(self.prove(visitor), proof)

    def _check_token(self, token: str) -> bool | None:
        """Return whether a token lets somebody act; None where it is neither of the two."""
        # Both are compared, so that the time says nothing.
        acts, reads = _is_equal(self.action_token, token), _is_equal(self.read_token, token)
        if self.action_token and acts:
            return True
        return False if self.read_token and reads else None

    def _drop_expired(self) -> None:
        now = self.clock()
        expired = [key for key, stored in self._sessions.items() if stored.expires <= now]
        for key in expired:
            del self._sessions[key]


def check_tokens(read_token: str, action_token: str) -> None:
    """Raise ConfigError unless there is a token to read by and both are long and different."""
    tokens = {READ_TOKEN_VARIABLE: read_token, ACTION_TOKEN_VARIABLE: action_token}
    if not read_token and not action_token:
        raise ConfigError(
            f"the console shows what people searched for: set {READ_TOKEN_VARIABLE} in the "
            "environment to a long random text, such as `openssl rand -hex 24` prints"
        )
    for variable, token in tokens.items():
        if token and len(token) < MIN_TOKEN_LENGTH:
            raise ConfigError(f"{variable} should have {MIN_TOKEN_LENGTH} characters or more")
    if read_token == action_token:
        raise ConfigError(
            f"{READ_TOKEN_VARIABLE} and {ACTION_TOKEN_VARIABLE} are the same: whoever may read "
            "could act; make one of them different"
        )


def clean_name(name: str) -> str:
    """Return a name as it is shown and kept: one short line of printable characters."""
    line = " ".join(name.split())
    printable = "".join(letter for letter in line if letter.isprintable())
    return printable.strip()[:MAX_VISITOR_NAME_LENGTH]


def _is_equal(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode("utf-8", "replace"))
