"""The room that a real disk has, asked for before it is needed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from nudge_sync.connector import require_room
from nudge_sync.errors import DiskFull


def test_what_there_is_room_for_passes_also_where_no_folder_is_yet(tmp_path: Path) -> None:
    require_room(tmp_path, 1)
    require_room(tmp_path / "not" / "there" / "yet", 1)
    assert not (tmp_path / "not").exists()


def test_too_little_is_said_with_the_path_and_both_figures(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    with pytest.raises(DiskFull) as refusal:
        require_room(tmp_path, free * 4)
    assert str(tmp_path) in str(refusal.value)
    needed, left = (int(found) for found in re.findall(r"\((\d+) bytes\)", str(refusal.value)))
    assert needed == free * 4
    # Others write to that disk as well.
    assert abs(left - free) < free / 2
    assert not refusal.value.transient
