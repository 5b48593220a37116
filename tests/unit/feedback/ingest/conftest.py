"""What rows are imported into, and files with the vectors of queries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles
from tests.support.feedback_files import DIMENSION


@pytest.fixture
def query_files(tmp_path: Path) -> QueryVectorFiles:
    """Vectors of q1 and q2, and of a query that is known by its text alone."""
    files = QueryVectorFiles(tmp_path / "queries.npy", tmp_path / "queries.txt")
    np.save(files.vectors, np.eye(3, DIMENSION, dtype=np.float32))
    files.ids.write_text("q1\nq2\nswept wings\n", encoding="utf-8")
    return files
