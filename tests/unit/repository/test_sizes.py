"""Files and folders are short enough to be looked through, tests included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.source_code import EVERYTHING, list_modules, show_path

MAX_LINES = 350
MAX_MODULES = 16
ROOMY_FOLDERS: dict[str, int] = {
    # Flat lists that are read by file name: a scenario each, or one promise of one connector.
    "tests/integration": 38,
    "tests/contract": 24,
    # One question about speed or quality each.
    "benchmarks": 33,
    # The map in its `__init__.py` leads to the file.
    "tests/support": 48,
    # One file a verb.
    "nudge_sync/cli/verbs": 19,
    "tests/unit/cli/verbs": 18,
    # The same rooms as in the other connectors, and what clusters need beside them.
    "connectors/nudge_sync_qdrant": 22,
    # The same rooms as in the other connectors, and what Milvus's wire format needs beside them.
    "connectors/nudge_sync_milvus": 22,
}
"""Folders that may hold more modules, how many, and why."""


def find_long_files(lines_by_path: Mapping[str, int]) -> list[str]:
    """Return the files that have too many lines, with their number."""
    return [f"{path}: {lines}" for path, lines in lines_by_path.items() if lines > MAX_LINES]


def find_full_folders(paths: Iterable[str]) -> list[str]:
    """Return the folders that hold too many Python files, with their number."""
    parents = [Path(path).parent.as_posix() for path in paths]
    return [
        f"{folder}: {parents.count(folder)}"
        for folder in sorted(set(parents))
        if parents.count(folder) > ROOMY_FOLDERS.get(folder, MAX_MODULES)
    ]


def test_no_file_is_too_long():
    lines_by_path = {
        show_path(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in list_modules(*EVERYTHING)
    }
    assert find_long_files(lines_by_path) == []


def test_no_folder_is_too_full():
    assert find_full_folders(map(show_path, list_modules(*EVERYTHING))) == []


def test_every_roomy_folder_needs_its_room():
    paths = [show_path(path) for path in list_modules(*EVERYTHING)]
    for folder in ROOMY_FOLDERS:
        count = sum(Path(path).parent.as_posix() == folder for path in paths)
        assert count > MAX_MODULES, f"{folder} holds {count} modules; take it off the list"


def test_what_the_tests_would_catch():
    assert find_long_files({"a.py": MAX_LINES, "b.py": MAX_LINES + 1}) == [f"b.py: {MAX_LINES + 1}"]
    names = [f"p/m{number}.py" for number in range(MAX_MODULES)]
    assert find_full_folders(names) == []
    assert find_full_folders([*names, "p/last.py", "p/q/inner.py"]) == [f"p: {MAX_MODULES + 1}"]
