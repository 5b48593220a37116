"""A collection that nothing was done to yet, for the verbs that only look."""

from __future__ import annotations

import pytest

from tests.support.workspace import Workspace, make_workspace


@pytest.fixture(scope="session")
def untouched_workspace(tmp_path_factory) -> Workspace:
    """400 points, no feedback and no revision; tests must not change it."""
    return make_workspace(tmp_path_factory.mktemp("untouched"))
