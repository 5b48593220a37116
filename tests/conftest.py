"""What every test may ask for: is this CI, and where the shared collections are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def missing(reason: str) -> None:
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
        missing(f"{shared / 'data'} is not there; NUDGE_SYNC_SHARED names the folder above data/")
    return shared / "data"
