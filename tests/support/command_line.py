"""The command line without a database that holds anything, in this process or in a child."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner, Result

from nudge_sync.cli.app import app


def invoke(*words: str, **variables: str) -> Result:
    """What `nudge-sync …` gives, from inside this process."""
    return CliRunner().invoke(app, list(words), env=variables, catch_exceptions=False)


def run_process(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What `nudge-sync …` gives as a process of its own, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "nudge_sync", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )


def write_config(folder: Path, *names: str) -> Path:
    """A configuration with these collections, or "docs", on an embedded engine with none."""
    path = folder / "nudge-sync.toml"
    tables = "".join(f"[collections.{name}]\n" for name in names or ("docs",))
    database = f'[database]\nconnector = "qdrant-edge"\npath = "{folder / "shards"}"\n'
    path.write_text(database + tables, encoding="utf-8")
    return path


def find_unknown_words(words: list[str]) -> list[str]:
    """What the command line would not know of `nudge-sync …`: the verb, or some options."""
    command: Any = get_command(app)
    while hasattr(command, "commands"):
        if not words or words[0] not in command.commands:
            return words[:1] or ["no verb"]
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    return [word for word in words if word.startswith("-") and word not in known]


def list_verbs(group: Any = None, prefix: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """The words of each verb, and its command."""
    for name, command in (group or get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from list_verbs(command, (*prefix, name))
        else:
            yield (*prefix, name), command
