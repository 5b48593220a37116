"""Where embedded engines keep their files while they are tested."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

_RAM = Path("/dev/shm")
_ENOUGH = 2 * 2**30


@pytest.fixture
def directory(tmp_path):
    """An empty directory, in memory where that is large enough: engines call fsync a lot."""
    if not _RAM.is_dir() or shutil.disk_usage(_RAM).free < _ENOUGH:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="nudge-sync-", dir=_RAM) as path:
        yield Path(path)
