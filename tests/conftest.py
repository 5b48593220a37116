"""What every test may ask for: is this CI, and where the shared collections are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.collection_fixtures import any_sample_collection, sample_collection
from tests.support.milvus_server import find_or_start_milvus

__all__ = [
    "any_sample_collection",
    "in_ci",
    "milvus_server_uri",
    "root",
    "sample_collection",
    "shared_data",
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


def skip_or_fail(reason: str) -> None:
    """Skip on a laptop, fail in CI: what CI leaves out it would silently stop testing."""
    if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def in_ci() -> bool:
    """Whether a thing that is not there is a failure."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real collections, described in benchmarks/; not part of the product."""
    shared = Path(os.environ.get("NUDGE_SYNC_SHARED", ROOT.parent / "shared"))
    if not (shared / "data").is_dir():
        skip_or_fail(
            f"{shared / 'data'} is not there; NUDGE_SYNC_SHARED names the folder above data/"
        )
    return shared / "data"


@pytest.fixture(scope="session")
def milvus_server_uri() -> Iterator[str]:
    """A Milvus 2.3.5 server of this session, or the one in MILVUS_URI."""
    if not os.environ.get("MILVUS_URI") and find_spec("milvus") is None:
        skip_or_fail("no Milvus server: install the milvus wheel, or set MILVUS_URI")
    with find_or_start_milvus() as uri:
        yield uri
