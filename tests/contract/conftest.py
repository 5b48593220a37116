"""Where embedded engines keep their files while they are tested."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

# Before any test module imports a part of the kit by itself.
pytest.register_assert_rewrite("nudge_sync.testing.collections", "nudge_sync.testing.keeping")

_RAM_DISK = Path("/dev/shm")
_MIN_FREE_BYTES = 2 * 2**30


@pytest.fixture
def directory(tmp_path):
    """An empty directory, in memory where that is large enough: engines call fsync a lot."""
    if not _RAM_DISK.is_dir() or shutil.disk_usage(_RAM_DISK).free < _MIN_FREE_BYTES:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="nudge-sync-", dir=_RAM_DISK) as path:
        yield Path(path)
