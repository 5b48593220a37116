"""Real servers of trace stores, one of each for a session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.conftest import skip_or_fail
from tests.support.sources.servers import (
    start_embedding_server,
    start_mlflow,
    start_opensearch,
    start_phoenix,
)


@pytest.fixture(scope="session")
def phoenix_url(tmp_path_factory) -> Iterator[str]:
    with start_phoenix(tmp_path_factory.mktemp("phoenix")) as url:
        yield url


@pytest.fixture(scope="session")
def opensearch_url(tmp_path_factory) -> Iterator[str]:
    if not (shutil.which("java") and shutil.which("mvn")):
        skip_or_fail("no OpenSearch server: install a JDK of 17 or later and Maven")
    with start_opensearch(tmp_path_factory.mktemp("opensearch")) as url:
        yield url


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory) -> Iterator[str]:
    with start_mlflow(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture(scope="session")
def embedding_url(tmp_path_factory) -> Iterator[str]:
    with start_embedding_server(tmp_path_factory.mktemp("embedding")) as url:
        yield url
