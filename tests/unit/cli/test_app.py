"""The command line without a database: options, messages, exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from nudge_sync.cli.app import app
from nudge_sync.cli.errors import GLOBAL_OPTIONS
from nudge_sync.cli.output import to_json_value
from nudge_sync.cli.verbs.init import render_template
from nudge_sync.config import (
    CollectionSettings,
    Config,
    EventLog,
    FeedbackSettings,
    SearchLog,
    load_config,
)

RUNNER = CliRunner()


def invoke(*words: str, **variables: str):
    return RUNNER.invoke(app, list(words), env=variables, catch_exceptions=False)


def run(*words: str, stdin=subprocess.DEVNULL, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "nudge_sync", *words],
        stdin=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )


def write_config(folder: Path, *names: str) -> Path:
    path = folder / "nudge-sync.toml"
    tables = "".join(f"[collections.{name}]\n" for name in names or ("docs",))
    database = f'[database]\nconnector = "qdrant-edge"\npath = "{folder / "shards"}"\n'
    path.write_text(database + tables, encoding="utf-8")
    return path


def verbs(group=None, prefix=()):
    group = group or get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, (*prefix, name))
        else:
            yield (*prefix, name), command


VERBS = list(verbs())


@pytest.mark.parametrize(("words", "command"), VERBS, ids=[" ".join(words) for words, _ in VERBS])
def test_every_verb_says_what_it_does_and_every_option_has_its_variable(words, command):
    shown = invoke(*words, "--help", COLUMNS="200", TERMINAL_WIDTH="200")
    assert shown.exit_code == 0
    assert command.help.splitlines()[0][:20] in shown.output
    for parameter in command.params:
        if parameter.name == "help" or parameter.param_type_name == "argument":
            continue
        assert parameter.help, parameter.name
        prefix = "_".join(("NUDGE_SYNC", *words)).upper().replace("-", "_")
        variable = parameter.envvar or f"{prefix}_{parameter.name.upper()}"
        variable = variable if isinstance(variable, str) else variable[0]
        assert variable.startswith("NUDGE_SYNC_"), parameter.name
        assert variable in shown.output.replace("\n", ""), parameter.name


@pytest.mark.parametrize(("words", "command"), VERBS, ids=[" ".join(words) for words, _ in VERBS])
def test_every_verb_takes_json_or_prints_nothing_else(words, command):
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in options or words in {("serve",), ("feedback", "export")}


def test_verb_specific_variables_are_not_shared():
    seen: dict[str, tuple[str, set[str]]] = {}
    for words, command in VERBS:
        for parameter in command.params:
            if isinstance(parameter.envvar, str):
                option = parameter.opts[0]
                known, _ = seen.setdefault(parameter.envvar, (option, set()))
                assert known == option, f"{words}: {parameter.envvar}"


def test_version_and_help():
    assert invoke("--version").output.strip() == "0.1.0"
    assert invoke("--help").exit_code == 0
    assert invoke().exit_code == 2


def test_init_writes_a_file_that_loads(tmp_path):
    path = tmp_path / "sync.toml"
    done = invoke("init", "--config", str(path), "--connector", "milvus", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"config": str(path)})
    assert load_config(path).connector == "milvus"


def test_init_does_not_replace_unless_told(tmp_path):
    path = write_config(tmp_path)
    again = invoke("init", "--config", str(path))
    assert again.exit_code == 2
    assert "--force" in again.stderr
    assert invoke("init", "--config", str(path), "--force").exit_code == 0
    assert invoke("init", "--config", str(tmp_path / "no" / "such")).exit_code == 2
    assert invoke("init", "--config", str(tmp_path / "x"), "--connector", "dbase").exit_code == 2


@pytest.mark.parametrize("connector", ["qdrant", "qdrant-edge", "milvus"])
def test_every_line_that_the_template_comments_out_is_the_default(connector, tmp_path):
    lines = render_template(connector).splitlines()
    opened = "\n".join(
        line.removeprefix("# ") if re.match(r"# (\[|\w+ = )", line) else line for line in lines
    )
    tables = tomllib.loads(opened)
    shared = {name: tables[name] for name in ("solver", "gate", "write", "feedback", "serve")}
    for section, table in shared.items():
        known = Config if section == "serve" else CollectionSettings
        fields = known.model_fields[section].annotation.model_fields
        assert set(fields) - table.keys() <= {"angle"}, section
        for name, value in table.items():
            default = fields[name].get_default(call_default_factory=True)
            examples = {"rate", "token_file", "feedback_port", "searches", "events", "history_days"}
            assert value == default or name in examples, name
    mapped = FeedbackSettings.model_validate(tables["feedback"])
    assert mapped.searches.model_fields_set == SearchLog.model_fields.keys()
    assert mapped.events.model_fields_set == EventLog.model_fields.keys()
    path = tmp_path / "nudge-sync.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert load_config(path).collections["docs"].schedule.every == "6h"


def test_options_may_stand_before_the_verb(tmp_path):
    path = str(write_config(tmp_path, "one", "two"))
    for words in (("--config", path, "log"), (f"--config={path}", "log"), ("log", "-c", path)):
        assert "say --collection NAME" in invoke(*words).stderr
    after = invoke("--config", path, "--collection", "three", "log")
    assert "no collection 'three'" in after.stderr
    assert set(GLOBAL_OPTIONS) == {"--config", "-c", "--collection", "--json"}


def test_several_collections_demand_a_choice(tmp_path):
    path = str(write_config(tmp_path, "one", "two"))
    for verb in ("plan", "log", "verify", "resume", "unlock", "gc"):
        refused = invoke(verb, "--config", path)
        assert (refused.exit_code, "one, two" in refused.stderr) == (2, True), verb
    both = invoke("plan", "--config", path, "--collection", "one", "--all")
    assert (both.exit_code, "not both" in both.stderr) == (2, True)


@pytest.mark.parametrize("verb", ["apply", "rollback"])
def test_nobody_is_written_to_without_a_yes(verb, tmp_path):
    refused = run(verb, "--config", str(write_config(tmp_path)))
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--all", "--out", "x"),
        ("apply", "--all", "--plan", "x", "--yes"),
        ("rollback", "--to", "1", "--originals", "--yes"),
        ("rollback", "--to", "one"),
        ("show", "first"),
        ("plan", "--colection", "docs"),
        ("plna",),
        ("serve", "--port", "70000"),
        ("serve", "--log-format", "xml"),
    ],
)
def test_usage_errors_exit_with_2(words, tmp_path):
    path = write_config(tmp_path)
    done = invoke(*words, NUDGE_SYNC_CONFIG=str(path))
    assert done.exit_code == 2
    assert done.stderr
    assert not done.stdout


def test_a_configuration_error_is_one_line(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("[databse]\n", encoding="utf-8")
    done = run("check", "--config", str(path))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "did you mean 'database'" in done.stderr


def test_an_unknown_connector_lists_the_known_ones(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text('[database]\nconnector = "dbase"\n[collections.docs]\n', encoding="utf-8")
    done = invoke("check", "--config", str(path))
    assert (done.exit_code, "qdrant-edge" in done.stderr) == (2, True)


def test_a_reader_that_goes_away_is_no_traceback():
    child = subprocess.Popen(
        [sys.executable, "-m", "nudge_sync", "plan", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    child.stdout.close()
    errors = child.stderr.read().decode()
    child.stderr.close()
    assert child.wait(300) in {0, 1, 141}
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors


def test_json_holds_what_json_can_hold():
    np = pytest.importorskip("numpy")
    value = {1: np.float32(0.5), "a": np.arange(2), "b": (float("nan"), float("inf"), True, None)}
    assert to_json_value(value) == {"1": 0.5, "a": [0, 1], "b": [None, None, True, None]}
    assert json.dumps(to_json_value({"x": {3, 4} & {3}, "y": np.int64(3)})) == '{"x": [3], "y": 3}'


def test_help_needs_no_database_client():
    code = (
        "import sys; from nudge_sync.cli.app import app; "
        "heavy = {'numpy', 'scipy', 'apscheduler', 'rich.progress', 'pydantic'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
