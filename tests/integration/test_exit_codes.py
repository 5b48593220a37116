"""Every cause of docs/operations.md's table ends with the exit code that stands there."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from commands import Shop, opened_shop
from plans import plan
from typer.testing import CliRunner

from nudge_sync import errors
from nudge_sync.cli.app import app
from nudge_sync.cli.main import get_exit_code
from nudge_sync.connector import Database, Record, connect
from nudge_sync.errors import NudgeSyncError
from nudge_sync.planning.plan_file import save_plan
from nudge_sync.store import checksum, lease, retry


@pytest.fixture(scope="module")
def taught(tmp_path_factory) -> Shop:
    shop = opened_shop(tmp_path_factory.mktemp("shop") / "shop")
    shop.call("feedback", "import", str(shop.feedback))
    return shop


@pytest.fixture
def shop(taught: Shop, tmp_path: Path, monkeypatch) -> Shop:
    monkeypatch.setattr(retry, "DELAYS", ())
    return taught.copied(tmp_path / "copy")


def database(shop: Shop) -> Database:
    return connect("qdrant-edge", {"path": str(shop.folder / "shards"), "sync": False})


def run(shop: Shop, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words), env={"NUDGE_SYNC_CONFIG": str(shop.config)})
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stderr


def every(kind: type[NudgeSyncError]) -> list[type[NudgeSyncError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in every(child))]


OWN = [found for found in every(NudgeSyncError) if found.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", OWN[1:], ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_table_with_its_code(root: Path, kind):
    table = (root / "docs" / "operations.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"^\| `{kind.__name__}` \| (\d+) \|", table, re.MULTILINE)
    assert get_exit_code(kind()) == int(code)


def test_codes_of_the_readme(root: Path):
    text = (root / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| exit code |") :]
    assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE)[:5] == ["0", "1", "2", "3", "130"]


def test_0_done_and_nothing_to_do(shop: Shop):
    assert run(shop, "apply", "--yes")[0] == 0
    assert run(shop, "apply", "--yes")[0] == 0
    for verb in ("check", "log", "verify", "resume", "unlock", "gc"):
        assert run(shop, verb)[0] == 0, verb


def test_1_a_lease_that_is_held(shop: Shop):
    opened = database(shop)
    records = opened.records("docs__nudge_revisions", 0, ("kind",))
    moment = lease.now_ms()
    somebody = lease.Lease("t", "elsewhere", "//1/1", moment, moment + 10**6, 1000.0, 1)
    document = {"kind": "lease", "generation": 1, "lease": asdict(somebody)}
    records.put([checksum.add_checksum("lease", document)])
    opened.close()
    for words in (["apply", "--yes"], ["rollback", "--yes"], ["resume"], ["gc"], ["unlock"]):
        code, said = run(shop, *words)
        assert code == 1, words
        assert "process 1 on elsewhere since 20" in said, words
    assert "--force" in said
    assert run(shop, "plan")[0] == 0
    assert run(shop, "unlock", "--force")[0] == 0
    assert run(shop, "apply", "--yes")[0] == 0


def test_1_a_damaged_record(shop: Shop):
    run(shop, "apply", "--yes")
    opened = database(shop)
    records = opened.records("docs__nudge_originals", 32)
    (record,) = records.get(["1:3"])
    assert record.vector is not None
    records.put([replace(record, document={**record.document, "revision": 2})])
    opened.close()
    for words in (["verify"], ["rollback", "--yes"], ["apply", "--yes"]):
        code, said = run(shop, *words)
        assert (code, "'1:3'" in said) == (1, True), words
    done = CliRunner().invoke(app, ["verify", "--drill", "--json", "--config", str(shop.config)])
    assert (done.exit_code, "'1:3'" in done.stderr) == (1, True)


def test_1_a_damaged_vector_that_only_the_drill_finds(shop: Shop):
    run(shop, "apply", "--yes")
    opened = database(shop)
    records = opened.records("docs__nudge_history", 32, ("revision",))
    (record,) = records.get(["1:3"])
    assert record.vector is not None
    records.put([replace(record, vector=-record.vector)])
    opened.close()
    assert shop.call("verify")["clean"]
    found = shop.call("verify", "--drill", code=1)["drill"]
    assert (found["ok"], found["damaged"]) == (False, ["docs__nudge_history 1:3"])


def test_1_a_damaged_lease_and_the_way_out(shop: Shop):
    opened = database(shop)
    opened.records("docs__nudge_revisions", 0, ("kind",)).put([Record("lease", {"a": 1})])
    opened.close()
    code, said = run(shop, "apply", "--yes")
    assert (code, "unlock --force" in said) == (1, True)
    assert run(shop, "unlock")[0] == 1
    assert run(shop, "unlock", "--force")[0] == 0
    assert run(shop, "apply", "--yes")[0] == 0


def test_1_a_stale_plan(shop: Shop, tmp_path: Path):
    assert run(shop, "plan", "--out", str(tmp_path / "plan"))[0] == 0
    run(shop, "apply", "--yes")
    assert run(shop, "apply", "--yes", "--plan", str(tmp_path / "plan"))[0] == 1


def test_1_no_such_collection_and_none_that_can_be_written(shop: Shop):
    shop.configure("[collections.other]")
    assert run(shop, "plan", "--collection", "other")[0] == 1
    shop.configure('[collections.other]\nvector = "none"')
    assert run(shop, "plan", "--collection", "other")[0] == 1


def test_2_usage_configuration_and_input(shop: Shop, tmp_path: Path):
    assert run(shop, "plan", "--nonsense")[0] == 2
    assert run(shop, "show", "99")[0] == 2
    assert run(shop, "rollback", "--yes", "--to", "99")[0] == 2
    broken = tmp_path / "plan"
    for content in (b"", b"{}", b"\x00" * 100, b"[" * 100_000, b'{"format": "nudge-sync plan 1"}'):
        broken.write_bytes(content)
        assert run(shop, "apply", "--yes", "--plan", str(broken))[0] == 2
    shop.config.write_text("[solver]\nmethod = 1\n", encoding="utf-8")
    assert run(shop, "plan")[0] == 2


def test_2_bad_rows_when_asked_to_be_strict(shop: Shop, tmp_path: Path):
    rows = tmp_path / "rows"
    rows.write_text(json.dumps({"query_id": "q1"}) + "\n", encoding="utf-8")
    assert run(shop, "feedback", "import", str(rows))[0] == 0
    assert run(shop, "feedback", "import", str(rows), "--strict")[0] == 2


def test_2_a_plan_of_another_dimension(shop: Shop, tmp_path: Path):
    save_plan(plan(dimension=5), tmp_path / "plan")
    before = shop.live()
    code, said = run(shop, "apply", "--yes", "--plan", str(tmp_path / "plan"))
    assert (code, "have 5 numbers" in said) == (2, True)
    assert shop.live().tobytes() == before.tobytes()


def test_3_refused_by_the_gate(shop: Shop):
    shop.configure(min_queries=100_000)
    assert run(shop, "apply", "--yes")[0] == 3
