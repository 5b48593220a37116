"""The database that the demo runs on, and what it must not write to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nudge_sync.demo.engine import EMBEDDED_ENGINE, create_demo_collection, open_demo_database
from nudge_sync.errors import ConfigError

VECTORS = np.eye(3, dtype=np.float32)


def test_an_embedded_database_is_gone_afterwards(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_demo_database(EMBEDDED_ENGINE, None) as database:
        payloads = [{"tool": name} for name in "abc"]
        create_demo_collection(EMBEDDED_ENGINE, database, "tools", VECTORS, payloads)
        assert database.collection("tools").read([0, 1, 2]).vectors.tolist() == VECTORS.tolist()
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_a_collection_that_is_there_is_never_written_to():
    with open_demo_database(EMBEDDED_ENGINE, None) as database:
        create_demo_collection(EMBEDDED_ENGINE, database, "tools", VECTORS, [{}] * 3)
        with pytest.raises(ConfigError, match="there is a collection 'tools' already"):
            create_demo_collection(EMBEDDED_ENGINE, database, "tools", -VECTORS, [{}] * 3)
        assert database.collection("tools").read([0]).vectors.tolist() == [[1, 0, 0]]


@pytest.mark.parametrize(
    ("engine", "url", "expected"),
    [
        ("qdrant", None, "needs --url"),
        ("milvus", "", "needs --url"),
        ("x", "y", "the demo runs on"),
        (EMBEDDED_ENGINE, "http://localhost:6333", "--url needs --on qdrant or --on milvus"),
    ],
)
def test_what_it_does_not_run_on(engine, url, expected):
    with pytest.raises(ConfigError, match=expected), open_demo_database(engine, url):
        pass
