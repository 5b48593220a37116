"""Certificates for a server on the loopback address, signed by an authority made for one test."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_DAYS = "2"


@dataclass(frozen=True)
class Certificates:
    """PEM files: of the authority, and of a server that it vouches for."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Make an authority, and a certificate for 127.0.0.1 and localhost, with the openssl program.

    Raises FileNotFoundError without it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(folder / "authority.pem", folder / "server.pem", folder / "server-key.pem")
    authority_key, request = folder / "authority-key.pem", folder / "server.csr"
    extensions = folder / "extensions.cnf"
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _run_openssl(
        *("req", "-x509", *new_key, "-days", _DAYS, "-subj", "/CN=nudge-sync test authority"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", authority_key, "-out", made.authority),
    )
    _run_openssl(
        *("req", *new_key, "-subj", "/CN=localhost", "-keyout", made.key, "-out", request),
    )
    _run_openssl(
        *("x509", "-req", "-in", request, "-days", _DAYS, "-extfile", extensions),
        *("-CA", made.authority, "-CAkey", authority_key, "-CAcreateserial"),
        *("-out", made.certificate),
    )
    return made


def _run_openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
