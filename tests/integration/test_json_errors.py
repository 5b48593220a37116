"""Where JSON is asked for, stdout is one JSON document, whatever goes wrong with whichever verb."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from nudge_sync import errors
from nudge_sync.cli.app import app
from nudge_sync.cli.errors import VerbGroup, get_exit_code
from nudge_sync.connector import connect
from nudge_sync.errors import NudgeSyncError
from nudge_sync.store import checksum, lease, retry
from tests.support.command_line import list_verbs, write_config
from tests.support.workspace import Workspace, make_workspace

VERBS = [words for words, _ in list_verbs()]
IDS = [" ".join(words) for words in VERBS]
ARGUMENTS = {
    ("show",): ("1",),
    ("explain",): ("1",),
    ("feedback", "judgements"): ("--point", "1"),
    ("feedback", "export"): ("--client", "c"),
    ("forget",): ("--client", "c", "--yes"),
    ("apply",): ("--yes",),
    ("rollback",): ("--yes",),
    ("canary", "promote"): ("--yes",),
    ("feedback", "import"): (os.devnull,),
    ("feedback", "pull"): ("phoenix",),
    ("demo",): ("--on", "nowhere"),
    ("init",): ("--connector", "nowhere"),
}
WITHOUT_COLLECTION = {("init",), ("demo",), ("console",), ("serve",), ("mcp",), ("check",)}
LOCKED = {("apply",), ("rollback",), ("resume",), ("gc",), ("unlock",)}
ALL_ERRORS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)
]


def run(config: Path, verb: tuple[str, ...], *more: str) -> Result:
    # By the variable, since not every verb has the option.
    variables = {"NUDGE_SYNC_CONFIG": str(config), "NUDGE_SYNC_JSON": "1", "NUDGE_SYNC_DEBUG": ""}
    words = [*verb, *ARGUMENTS.get(verb, ()), *more]
    return CliRunner().invoke(app, words, env=variables)


def parse_failure(result: Result) -> dict[str, Any]:
    """Return the fields of the one document on stdout, once they fit the rest."""
    document = json.loads(result.stdout)
    assert document.keys() == {"error"}
    failure: dict[str, Any] = document["error"]
    assert failure.keys() == {"cause", "message", "exit_code"}
    assert failure["exit_code"] == result.exit_code
    assert failure["message"]
    assert result.stderr
    return failure


@pytest.mark.parametrize("verb", VERBS, ids=IDS)
def test_a_configuration_that_is_not_there(verb: tuple[str, ...], tmp_path: Path) -> None:
    failure = parse_failure(run(tmp_path / "absent.toml", verb))
    assert (failure["cause"], failure["exit_code"]) == ("ConfigError", 2)


@pytest.mark.parametrize("verb", VERBS, ids=IDS)
def test_an_option_that_does_not_exist(verb: tuple[str, ...], tmp_path: Path) -> None:
    failure = parse_failure(run(write_config(tmp_path), verb, "--colour"))
    assert (failure["cause"], failure["exit_code"]) == ("UsageError", 2)
    assert "--colour" in failure["message"]


@pytest.mark.parametrize("words", [["show", "--json"], ["feedback", "pull", "--json"]])
def test_an_argument_that_is_missing(words: list[str]) -> None:
    failure = parse_failure(CliRunner().invoke(app, words))
    assert failure["cause"] == "UsageError"
    assert "Missing argument" in failure["message"]


@pytest.mark.parametrize("words", [["plna", "--json"], ["--json", "plna"], ["--bogus", "--json"]])
def test_a_verb_that_does_not_exist(words: list[str]) -> None:
    failure = parse_failure(CliRunner().invoke(app, words))
    assert failure["cause"] == "UsageError"


@pytest.mark.parametrize(
    "verb",
    [verb for verb in VERBS if verb not in WITHOUT_COLLECTION],
    ids=[" ".join(verb) for verb in VERBS if verb not in WITHOUT_COLLECTION],
)
def test_a_collection_that_does_not_exist(verb: tuple[str, ...], tmp_path: Path) -> None:
    failure = parse_failure(run(write_config(tmp_path), verb))
    assert (failure["cause"], failure["exit_code"]) == ("CollectionNotFound", 1)


@pytest.mark.parametrize("verb", [("check",), ("plan",), ("apply",), ("unlock",)])
def test_a_server_that_is_not_there(
    verb: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "DELAYS", ())
    config = tmp_path / "nudge-sync.toml"
    section = 'connector = "qdrant"\nurl = "http://127.0.0.1:1"\ntimeout = 1'
    config.write_text(f"[database]\n{section}\n[collections.docs]\n", encoding="utf-8")
    assert parse_failure(run(config, verb))["cause"] == "Unreachable"


@pytest.fixture(scope="module")
def locked_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Make a workspace whose lease is held elsewhere."""
    workspace = make_workspace(tmp_path_factory.mktemp("locked") / "shop")
    database = connect("qdrant-edge", {"path": str(workspace.folder / "shards"), "sync": False})
    now = lease.now_ms()
    holder = lease.Lease("t", "elsewhere", "//1/1", now, now + 10**7, 10000.0, 1)
    document = {"kind": "lease", "generation": 1, "lease": asdict(holder)}
    records = database.records("docs__nudge_revisions", 0, ("kind",))
    records.put([checksum.add_checksum("lease", document)])
    database.close()
    return workspace


@pytest.mark.parametrize("verb", sorted(LOCKED), ids=" ".join)
def test_a_lease_that_is_held(verb: tuple[str, ...], locked_workspace: Workspace) -> None:
    failure = parse_failure(run(locked_workspace.config_path, verb))
    assert (failure["cause"], failure["exit_code"]) == ("LeaseHeld", 1)
    assert "elsewhere" in failure["message"]


def test_with_all_each_failure_stands_in_its_place(locked_workspace: Workspace) -> None:
    result = run(locked_workspace.config_path, ("resume",), "--all")
    [entry] = json.loads(result.stdout)
    assert entry["collection"] == "docs"
    assert entry["error"]["cause"] == "LeaseHeld"
    assert result.exit_code == entry["error"]["exit_code"] == 1


@pytest.mark.parametrize("is_nested", [False, True], ids=["verb", "verb of a group"])
@pytest.mark.parametrize("kind", ALL_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_by_name(kind: type[NudgeSyncError], is_nested: bool) -> None:
    program, group = typer.Typer(cls=VerbGroup), typer.Typer(cls=VerbGroup)

    @program.command()
    @group.command()
    def fail(as_json: bool = typer.Option(False, "--json")) -> None:
        raise kind

    @program.command()
    @group.command()
    def succeed() -> None:
        pass

    program.add_typer(group, name="group")
    words = ["group", "fail", "--json"] if is_nested else ["fail", "--json"]
    failure = parse_failure(CliRunner().invoke(program, words, env={"NUDGE_SYNC_DEBUG": ""}))
    assert failure == {
        "cause": kind.__name__,
        "message": str(kind()),
        "exit_code": get_exit_code(kind()),
    }
    assert not CliRunner().invoke(program, [word for word in words if word != "--json"]).stdout


SCRIPT = """
import sys
from nudge_sync.cli import main as program
def fail(**_):
    raise KeyError("https://user:hunter2@db")
program.app = fail
sys.argv = ["nudge-sync", "plan", "--json"]
program.main()
"""


def test_a_bug_is_a_document_as_well_and_keeps_its_secret() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NUDGE_SYNC_DEBUG": ""},
    )
    failure = json.loads(done.stdout)["error"]
    assert (failure["cause"], failure["exit_code"]) == ("KeyError", done.returncode)
    assert done.stderr
    assert "hunter2" not in done.stdout + done.stderr
