"""A connector in somebody else's distribution is found without a change here."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

PLUGIN = """
    from nudge_sync.testing.memory import MemoryDatabase

    class StrangerDatabase(MemoryDatabase):
        def __init__(self, section):
            super().__init__()
            self.section = section

    def connect(section):
        return StrangerDatabase(dict(section))
"""
PROGRAM = """
    from nudge_sync.connector import Database, connect, connector_names

    assert "stranger" in connector_names(), connector_names()
    database = connect("stranger", {"anything": 1})
    assert isinstance(database, Database)
    assert database.section == {"anything": 1}
    database.store.create("docs", 3)
    print(database.collection("docs").describe().dimension)
"""
FILES = {
    "stranger_for_nudge_sync.py": PLUGIN,
    "stranger_for_nudge_sync-1.0.dist-info/METADATA": """
        Metadata-Version: 2.1
        Name: stranger-for-nudge-sync
        Version: 1.0
    """,
    "stranger_for_nudge_sync-1.0.dist-info/entry_points.txt": """
        [nudge_sync.connectors]
        stranger = stranger_for_nudge_sync:connect
        halfway = stranger_that_is_not_there:connect
    """,
}


@pytest.fixture
def installed(tmp_path):
    """A directory as `pip install --target` would leave it."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
    return tmp_path


def run(program, installed):
    paths = [str(installed), *(path for path in sys.path if path)]
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_stranger_is_found(installed):
    done = run(PROGRAM, installed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "3"


def test_a_stranger_without_its_client_says_what_to_install(installed):
    program = """
        from nudge_sync.connector import connect
        from nudge_sync.errors import ConfigError
        try:
            connect("halfway", {})
        except ConfigError as error:
            print(error)
    """
    done = run(program, installed)
    assert "pip install" in done.stdout, done.stderr
    assert "stranger_that_is_not_there" in done.stdout


def test_an_unknown_name_lists_the_known_ones(installed):
    program = """
        from nudge_sync.connector import connect
        from nudge_sync.errors import ConfigError
        try:
            connect("strangre", {})
        except ConfigError as error:
            print(error)
    """
    done = run(program, installed)
    assert "stranger" in done.stdout, done.stderr
    assert "qdrant-edge" in done.stdout
