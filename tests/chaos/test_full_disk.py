"""A disk that fills up ends a cycle with an error that says so, and never the process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MOUNT = 'mount -t tmpfs -o size="$3" tmpfs "$1" && exec "$2" -m tests.chaos.full_disk "$1" "$4"'


def run_on_small_disk(
    folder: Path, root: Path, size: str, binary: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the rounds on a file system in memory that only this process and its children see."""
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", MOUNT, "sh", str(folder)]
    return subprocess.run(
        [*command, sys.executable, size, binary],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def can_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = ["unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def test_every_cycle_ends_by_itself_and_nothing_is_lost(tmp_path: Path, root: Path) -> None:
    """Where mounting is not allowed, tests/unit/connector/test_room.py asks a real disk."""
    if not can_mount(tmp_path):
        pytest.skip("this user may not mount a file system of its own")
    done = run_on_small_disk(tmp_path, root, "96m")
    # -7 would be SIGBUS.
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    rounds = json.loads(done.stdout)
    assert {entry["outcome"] for entry in rounds} == {"applied", "DiskFull"}
    assert [entry["case"] for entry in rounds if entry["lost"] or not entry["clean"]] == []
    # With the least room nothing is begun; a disk that others fill half-way stops the next batch.
    outcomes = {tuple(entry["case"]): entry["outcome"] for entry in rounds[:-1]}
    assert outcomes[4, "", 0] == outcomes[0, "note", 2] == outcomes[0, "write", 2] == "DiskFull"


def test_a_server_whose_disk_is_full_is_named_and_nothing_is_lost(
    tmp_path: Path, root: Path, qdrant_binary: str
) -> None:
    if not can_mount(tmp_path):
        pytest.skip("this user may not mount a file system of its own")
    done = run_on_small_disk(tmp_path, root, "400m", qdrant_binary)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    rounds = json.loads(done.stdout)
    assert [entry["case"] for entry in rounds if entry["lost"] or not entry["clean"]] == []
    outcomes = {tuple(entry["case"]): entry["outcome"] for entry in rounds[:-1]}
    assert outcomes[1, "", 0] == outcomes[0, "note", 1] == outcomes[0, "write", 1] == "DiskFull"
