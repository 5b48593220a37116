"""`unlock`: who holds the lease, and taking it by force."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from nudge_sync.connector import connect
from nudge_sync.store.checksum import add_checksum
from nudge_sync.store.lease import Lease, now_ms
from tests.support.command_line import invoke
from tests.support.workspace import Workspace


@pytest.fixture
def leased_workspace(untouched_workspace: Workspace, tmp_path) -> Workspace:
    """A collection whose lease a process of another machine holds."""
    workspace = untouched_workspace.copy_to(tmp_path / "copy")
    database = connect("qdrant-edge", {"path": str(workspace.folder / "shards"), "sync": False})
    now = now_ms()
    lease = Lease("t", "elsewhere", "//1/1", now, now + 10**6, 1000.0, 1)
    document = {"kind": "lease", "generation": 1, "lease": asdict(lease)}
    ledger_records = database.records("docs__nudge_revisions", 0, ("kind",))
    ledger_records.put([add_checksum("lease", document)])
    database.close()
    return workspace


def test_nobody_holds_the_lease_of_an_untouched_collection(untouched_workspace: Workspace):
    assert untouched_workspace.run("unlock") == {"collection": "docs", "held_by": None}
    done = invoke("unlock", "--config", str(untouched_workspace.config_path))
    assert done.stdout == "nobody holds it\n"


def test_a_lease_that_is_held_is_taken_away_by_force_alone(leased_workspace: Workspace):
    said = leased_workspace.run("unlock", code=1)
    assert "process 1 on elsewhere since" in said
    assert "--force takes it away" in said
    done = invoke("unlock", "--force", "--config", str(leased_workspace.config_path))
    assert done.stdout.startswith("taken from process 1 on elsewhere since")
    assert leased_workspace.run("unlock") == {"collection": "docs", "held_by": None}
