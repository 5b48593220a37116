"""Fixtures for every test: collections, the shared data, servers, is this CI."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.collection_fixtures import (
    any_sample_collection,
    any_tracked_collection,
    sample_collection,
    tracked_collection,
)
from tests.support.milvus_server import find_or_start_milvus
from tests.support.qdrant_server.address import find_or_start_qdrant, has_qdrant

__all__ = [
    "any_sample_collection",
    "any_tracked_collection",
    "in_ci",
    "milvus_server_uri",
    "qdrant_binary",
    "qdrant_server",
    "root",
    "same_process",
    "sample_collection",
    "shared_cases",
    "shared_data",
    "tracked_collection",
]

# How long an example takes says nothing about the code. The same examples each time, so that
# nobody's change is stopped by what was always there; HYPOTHESIS_PROFILE=long looks for new ones.
settings.register_profile(
    "steady",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=60,
    derandomize=os.environ.get("HYPOTHESIS_PROFILE") != "long",
)
settings.load_profile("steady")
ROOT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def skip_or_fail(reason: str) -> None:
    """Skip on a laptop; fail in CI, which would otherwise stop testing something in silence."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module", autouse=True)
def same_process() -> Iterator[None]:
    """Fail where a module leaves the process other than it was: later modules would run in it."""
    before = _describe_process()
    yield
    assert _describe_process() == before


def _describe_process() -> dict[str, Any]:
    own = [name for name in os.environ if not name.startswith("PYTEST_")]
    return {
        "environment": {name: os.environ[name] for name in own},
        "folder": Path.cwd(),
        "path": list(sys.path),
        "a loop runs": asyncio._get_running_loop() is not None,
        "signals": {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)},
        "logging": logging.root.manager.disable,
    }


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the repository's folder."""
    return ROOT


@pytest.fixture(scope="session")
def in_ci() -> bool:
    """Return whether this is CI, where a missing server or file is a failure."""
    return IN_CI


def find_shared_folder(name: str) -> Path:
    """Return a folder of what is not part of the repository."""
    folder = Path(os.environ.get("NUDGE_SYNC_SHARED", ROOT.parent / "shared")) / name
    if not folder.is_dir():
        skip_or_fail(f"{folder} is not there; NUDGE_SYNC_SHARED names the folder above {name}/")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real collections."""
    return find_shared_folder("data")


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Return the folder of files of feedback that people had."""
    return find_shared_folder("cases")


@pytest.fixture(scope="session")
def milvus_server_uri() -> Iterator[str]:
    """Start a Milvus 2.3.5 server for this session, or take the one in MILVUS_URI."""
    if not os.environ.get("MILVUS_URI") and find_spec("milvus") is None:
        skip_or_fail("no Milvus server: install the milvus wheel, or set MILVUS_URI")
    with find_or_start_milvus() as uri:
        yield uri


@pytest.fixture(scope="session")
def qdrant_server() -> Iterator[dict[str, Any]]:
    """Find or start a Qdrant server for this session; its address, as keys of `[database]`."""
    if not has_qdrant():
        pytest.skip("no Qdrant server: set QDRANT_URL or QDRANT_BINARY, or start a Docker engine")
    with find_or_start_qdrant() as section:
        yield section


@pytest.fixture(scope="session")
def qdrant_binary() -> str:
    """Return the program that QDRANT_BINARY names, for tests that kill servers."""
    binary = os.environ.get("QDRANT_BINARY")
    if not binary:
        pytest.skip("QDRANT_BINARY names no Qdrant server to start")
    return binary
