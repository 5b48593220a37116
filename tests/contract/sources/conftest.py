"""Real servers of trace stores, one of each for a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.sources.servers import start_embedding_server, start_mlflow, start_phoenix


@pytest.fixture(scope="session")
def phoenix_url(tmp_path_factory) -> Iterator[str]:
    with start_phoenix(tmp_path_factory.mktemp("phoenix")) as url:
        yield url


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory) -> Iterator[str]:
    with start_mlflow(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture(scope="session")
def embedding_url(tmp_path_factory) -> Iterator[str]:
    with start_embedding_server(tmp_path_factory.mktemp("embedding")) as url:
        yield url
