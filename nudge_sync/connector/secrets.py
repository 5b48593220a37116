"""Where secrets come from: the environment, or a file that nobody else can read. Never the TOML."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field

from nudge_sync.errors import ConfigError

VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$")]
"""The name of an environment variable; most secrets, put there by mistake, do not look like one."""
_NON_OWNER_MODE_BITS = stat.S_IRWXG | stat.S_IRWXO
"""Any of these set: somebody else can reach the file."""
_MAX_SECRET_BYTES = 65_536
"""Longest file that is read: a token is a few hundred bytes."""
_SECRET_KEYS = frozenset(
    {
        "apikey",
        "accesskey",
        "auth",
        "authorization",
        "bearer",
        "credential",
        "credentials",
        "jwt",
        "key",
        "pass",
        "passphrase",
        "passwd",
        "password",
        "pwd",
        "secret",
        "secretkey",
        "token",
        "user",
        "username",
    }
)
"""Keys of a table that name a secret, lower case, letters alone."""


def read_secret(variable: str, file: Path | None, option: str) -> str:
    """Return the secret in the environment variable, else in the file, else "", without line ends.

    option: the key of the TOML file that names the file, for messages.
    Raises ConfigError where the file cannot be read, is not one line of text, or can be read or
    written by anybody but its owner.
    """
    value = os.environ.get(variable, "").strip("\r\n")
    return value or (_read_secret_file(file.expanduser(), option) if file is not None else "")


def read_token(variable: str, file: Path | None, option: str) -> str:
    """Return the token that requests have to bear, from where `read_secret` finds it; else "".

    option: the key of the TOML file that names the file, for messages.
    Raises ConfigError as `read_secret` does, and for a token that no request could bear.
    """
    token = read_secret(variable, file, option)
    if not (token.isascii() and token.isprintable()) or token != token.strip():
        raise ConfigError(
            f"{variable} or {option}: a token may hold letters, digits and signs of ASCII alone, "
            "without a space at either end, since it is sent in a header; "
            "`openssl rand -hex 24` prints one"
        )
    return token


def refuse_secrets_in_table(
    section: Mapping[str, Any], location: str, variable: str, option: str
) -> None:
    """Raise ConfigError where a key of the table names a secret; its value is not repeated.

    location: the table's name in the file. variable, option: where the secret belongs instead, an
    environment variable or a file that this key names.
    """
    for key in section:
        if re.sub("[^a-z]", "", str(key).lower()) in _SECRET_KEYS:
            raise ConfigError(
                f"{location}.{key}: a secret does not belong in the file; put it into the "
                f"environment variable {variable}, or into a file of your own that {option} names"
            )


def refuse_secrets_in_address(address: str, location: str, variable: str) -> None:
    """Raise ConfigError where an address holds more than scheme, host, port and path.

    location: the key of the address. variable: the environment variable for the secret.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        raise ConfigError(f"{location}: not an address") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            f"{location}: leave credentials and parameters out of the address; put the secret into "
            f"the environment variable {variable}"
        )


def _read_secret_file(path: Path, option: str) -> str:
    try:
        # A pipe that nobody writes to would keep a plain open waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            _refuse_shared_file(os.fstat(file.fileno()), option)
            content = file.read(_MAX_SECRET_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        # Not the path: somebody may have put the secret itself there.
        raise ConfigError(f"{option}: the file cannot be read: {reason}") from None
    try:
        secret = content.decode().strip("\r\n")
    except UnicodeDecodeError:
        secret = ""
    if not secret.isprintable() or not secret or len(content) > _MAX_SECRET_BYTES:
        raise ConfigError(f"{option}: the file should hold the secret in one line of text, alone")
    return secret


def _refuse_shared_file(status: os.stat_result, option: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{option}: not a regular file")
    if status.st_mode & _NON_OWNER_MODE_BITS:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigError(
            f"{option}: others can read the file or write to it (mode {mode:04o}); chmod 600"
        )
