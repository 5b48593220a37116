"""Every cause of docs/operations.md's table ends with the exit code that stands there."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nudge_sync import errors
from nudge_sync.cli.app import app
from nudge_sync.cli.errors import get_exit_code
from nudge_sync.connector import Database, Record, connect
from nudge_sync.errors import NudgeSyncError
from nudge_sync.planning.plan_file import save_plan
from nudge_sync.store import checksum, lease, retry
from tests.support.fake_plan import make_fake_plan
from tests.support.workspace import Workspace, make_workspace


@pytest.fixture(scope="module")
def shared_workspace(tmp_path_factory) -> Workspace:
    shop = make_workspace(tmp_path_factory.mktemp("shop") / "shop")
    shop.run("feedback", "import", str(shop.feedback_path))
    return shop


@pytest.fixture
def workspace(shared_workspace: Workspace, tmp_path: Path, monkeypatch) -> Workspace:
    monkeypatch.setattr(retry, "DELAYS", ())
    return shared_workspace.copy_to(tmp_path / "copy")


def database(workspace: Workspace) -> Database:
    return connect("qdrant-edge", {"path": str(workspace.folder / "shards"), "sync": False})


def run(workspace: Workspace, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        app, list(words), env={"NUDGE_SYNC_CONFIG": str(workspace.config_path)}
    )
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stderr


def list_subclasses(kind: type[NudgeSyncError]) -> list[type[NudgeSyncError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in list_subclasses(child))]


OWN_ERRORS = [
    found for found in list_subclasses(NudgeSyncError) if found.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", OWN_ERRORS[1:], ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_table_with_its_code(root: Path, kind):
    table = (root / "docs" / "operations.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"^\| `{kind.__name__}` \| (\d+) \|", table, re.MULTILINE)
    assert get_exit_code(kind()) == int(code)


def test_codes_of_the_readme(root: Path):
    text = (root / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| exit code |") :]
    assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE)[:5] == ["0", "1", "2", "3", "130"]


def test_0_done_and_nothing_to_do(workspace: Workspace):
    assert run(workspace, "apply", "--yes")[0] == 0
    assert run(workspace, "apply", "--yes")[0] == 0
    for verb in ("check", "log", "verify", "resume", "unlock", "gc"):
        assert run(workspace, verb)[0] == 0, verb


def test_1_a_lease_that_is_held(workspace: Workspace):
    connection = database(workspace)
    records = connection.records("docs__nudge_revisions", 0, ("kind",))
    moment = lease.now_ms()
    somebody = lease.Lease("t", "elsewhere", "//1/1", moment, moment + 10**6, 1000.0, 1)
    document = {"kind": "lease", "generation": 1, "lease": asdict(somebody)}
    records.put([checksum.add_checksum("lease", document)])
    connection.close()
    for words in (["apply", "--yes"], ["rollback", "--yes"], ["resume"], ["gc"], ["unlock"]):
        code, said = run(workspace, *words)
        assert code == 1, words
        assert "process 1 on elsewhere since 20" in said, words
    assert "--force" in said
    assert run(workspace, "plan")[0] == 0
    assert run(workspace, "unlock", "--force")[0] == 0
    assert run(workspace, "apply", "--yes")[0] == 0


def test_1_a_damaged_record(workspace: Workspace):
    run(workspace, "apply", "--yes")
    connection = database(workspace)
    records = connection.records("docs__nudge_originals", 32)
    (record,) = records.get(["1:3"])
    assert record.vector is not None
    records.put([replace(record, document={**record.document, "revision": 2})])
    connection.close()
    for words in (["verify"], ["apply", "--yes"], ["rollback", "--yes"]):
        code, said = run(workspace, *words)
        assert (code, "'1:3'" in said) == (1, True), words
    done = CliRunner().invoke(
        app, ["verify", "--drill", "--json", "--config", str(workspace.config_path)]
    )
    assert (done.exit_code, "'1:3'" in done.stderr) == (1, True)


def test_1_a_damaged_vector_that_only_the_drill_finds(workspace: Workspace):
    run(workspace, "apply", "--yes")
    connection = database(workspace)
    records = connection.records("docs__nudge_history", 32, ("revision",))
    (record,) = records.get(["1:3"])
    assert record.vector is not None
    records.put([replace(record, vector=-record.vector)])
    connection.close()
    assert workspace.run("verify")["clean"]
    found = workspace.run("verify", "--drill", code=1)["drill"]
    assert (found["ok"], found["damaged"]) == (False, ["docs__nudge_history 1:3"])


def test_1_a_damaged_lease_and_the_way_out(workspace: Workspace):
    connection = database(workspace)
    connection.records("docs__nudge_revisions", 0, ("kind",)).put([Record("lease", {"a": 1})])
    connection.close()
    code, said = run(workspace, "apply", "--yes")
    assert (code, "unlock --force" in said) == (1, True)
    assert run(workspace, "unlock")[0] == 1
    assert run(workspace, "unlock", "--force")[0] == 0
    assert run(workspace, "apply", "--yes")[0] == 0


def test_1_a_stale_plan(workspace: Workspace, tmp_path: Path):
    assert run(workspace, "plan", "--out", str(tmp_path / "plan"))[0] == 0
    run(workspace, "apply", "--yes")
    assert run(workspace, "apply", "--yes", "--plan", str(tmp_path / "plan"))[0] == 1


def test_1_no_such_collection_and_none_that_can_be_written(workspace: Workspace):
    workspace.write_config("[collections.other]")
    assert run(workspace, "plan", "--collection", "other")[0] == 1
    workspace.write_config('[collections.other]\nvector = "none"')
    assert run(workspace, "plan", "--collection", "other")[0] == 1


def test_2_usage_configuration_and_input(workspace: Workspace, tmp_path: Path):
    assert run(workspace, "plan", "--nonsense")[0] == 2
    assert run(workspace, "show", "99")[0] == 2
    assert run(workspace, "rollback", "--yes", "--to", "99")[0] == 2
    broken = tmp_path / "plan"
    for content in (b"", b"{}", b"\x00" * 100, b"[" * 100_000, b'{"format": "nudge-sync plan 1"}'):
        broken.write_bytes(content)
        assert run(workspace, "apply", "--yes", "--plan", str(broken))[0] == 2
    workspace.config_path.write_text("[solver]\nmethod = 1\n", encoding="utf-8")
    assert run(workspace, "plan")[0] == 2


def test_2_bad_rows_when_asked_to_be_strict(workspace: Workspace, tmp_path: Path):
    rows = tmp_path / "rows"
    rows.write_text(json.dumps({"query_id": "q1"}) + "\n", encoding="utf-8")
    assert run(workspace, "feedback", "import", str(rows))[0] == 1
    assert run(workspace, "feedback", "import", str(rows), "--strict")[0] == 2


def test_2_a_plan_of_another_dimension(workspace: Workspace, tmp_path: Path):
    save_plan(make_fake_plan(dimension=5), tmp_path / "plan")
    before = workspace.read_vectors()
    code, said = run(workspace, "apply", "--yes", "--plan", str(tmp_path / "plan"))
    assert (code, "have 5 numbers" in said) == (2, True)
    assert workspace.read_vectors().tobytes() == before.tobytes()


def test_3_refused_by_the_gate(workspace: Workspace):
    workspace.write_config(min_queries=100_000)
    assert run(workspace, "apply", "--yes")[0] == 3
