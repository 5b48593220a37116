"""Whichever Qdrant server there is: QDRANT_URL, one from QDRANT_BINARY, or a container."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qdrant_client import QdrantClient

from tests.support.docker_engine import is_docker_running
from tests.support.qdrant_server.node import start_qdrant

IMAGE = os.environ.get("QDRANT_IMAGE", "qdrant/qdrant:v1.20.0")


def has_qdrant() -> bool:
    """Return whether `find_or_start_qdrant` will find or start a server."""
    return bool(
        os.environ.get("QDRANT_URL") or os.environ.get("QDRANT_BINARY") or is_docker_running()
    )


@contextmanager
def find_or_start_qdrant() -> Iterator[dict[str, Any]]:
    """Yield the address of a server, as keys of the `[database]` table.

    Of the server that QDRANT_URL names, QDRANT_GRPC_PORT is the port of gRPC, QDRANT_CA_FILE the
    authority behind its certificate, and QDRANT_API_KEY its key, which connectors read themselves.
    With QDRANT_PREFER_GRPC=1 requests go over gRPC, with 0 over REST, as far as a test does not
    say itself; without it vectors go over gRPC, and the rest does not.
    """
    wanted = os.environ.get("QDRANT_PREFER_GRPC", "")
    with _find_or_start_server() as section:
        yield section | ({"prefer_grpc": wanted in {"1", "true"}} if wanted else {})


@contextmanager
def _find_or_start_server() -> Iterator[dict[str, Any]]:
    if url := os.environ.get("QDRANT_URL"):
        section = {"url": url, "grpc_port": int(os.environ.get("QDRANT_GRPC_PORT", "6334"))}
        authority = os.environ.get("QDRANT_CA_FILE")
        yield section | ({"ca_certificate": authority} if authority else {})
    elif binary := os.environ.get("QDRANT_BINARY"):
        with start_qdrant(binary) as node:
            yield node.section
    else:
        # Not at the top: it looks for a Docker engine as soon as it is made.
        qdrant = importlib.import_module("testcontainers.community.qdrant")
        with qdrant.QdrantContainer(IMAGE) as container:
            grpc_port = int(container.grpc_host_address.rsplit(":", 1)[1])
            yield {"url": f"http://{container.rest_host_address}", "grpc_port": grpc_port}


def open_client(section: dict[str, Any], *, prefer_grpc: bool = False) -> QdrantClient:
    """Return a plain client of the server at this address, for what an application does itself."""
    return QdrantClient(
        url=section["url"],
        grpc_port=section.get("grpc_port", 6334),
        prefer_grpc=prefer_grpc,
        api_key=os.environ.get("QDRANT_API_KEY"),
        verify=section.get("ca_certificate", True),
        check_compatibility=False,
        timeout=60,
    )
