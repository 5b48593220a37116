from __future__ import annotations

from collections.abc import Iterator

import pytest
from worlds import ENGINES, World, opened


@pytest.fixture(params=sorted(ENGINES))
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A small collection with feedback, on one engine after the other."""
    with opened(request.param, tmp_path_factory.mktemp("world")) as made:
        yield made
