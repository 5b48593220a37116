"""Room on the disk of an embedded database, asked for before anything is written to it.

An engine that maps its files into memory finds out that a disk is full when it touches a page: the
process then dies of SIGBUS, with nothing said.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from nudge_sync.errors import DiskFull

_MEBIBYTE = 2**20


def require_room(path: Path, needed_bytes: int) -> None:
    """Raise DiskFull if fewer than `needed_bytes` are free where `path` is.

    path: a folder of the database, or one that is not there yet. Says nothing of what other
    processes write meanwhile.
    """
    free_bytes = shutil.disk_usage(_find_existing_folder(path)).free
    if free_bytes < needed_bytes:
        raise DiskFull(
            f"{path}: {_format_bytes(needed_bytes)} of free disk are needed for what comes next, "
            f"and {_format_bytes(free_bytes)} are left; make room, then run it again"
        )


def _find_existing_folder(path: Path) -> Path:
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def _format_bytes(count: int) -> str:
    return f"{count / _MEBIBYTE:.1f} MiB ({count} bytes)"
