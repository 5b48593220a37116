"""Connectors are found by name, and the databases that exist fit the contract."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.connector import (
    Collection,
    Database,
    DocumentReader,
    Points,
    Records,
    WriteReport,
    connect,
    connector_names,
)
from nudge_sync.errors import ConfigError
from nudge_sync.testing.memory import MemoryDatabase


def test_the_connectors_of_this_project_are_registered():
    assert {"qdrant", "qdrant-edge", "milvus"} <= set(connector_names())
    assert connector_names() == sorted(connector_names())


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"'quadrant'.*milvus.*qdrant, qdrant-edge"):
        connect("quadrant", {})


def test_the_database_in_memory_has_the_methods_of_the_contract():
    database = MemoryDatabase()
    database.store.create("docs", 3)
    assert isinstance(database, Database)
    assert isinstance(database, DocumentReader)
    assert isinstance(database.collection("docs"), Collection)
    assert isinstance(database.records("docs__nudge_x"), Records)


def test_something_else_does_not():
    assert not isinstance(object(), Database | Collection | Records | DocumentReader)


def test_points_have_a_length_and_reports_share_no_lists():
    assert len(Points([1, 2], np.zeros((2, 3), np.float32))) == 2
    WriteReport().written.append(1)
    assert WriteReport().written == []
