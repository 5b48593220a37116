"""The demo, as somebody with nothing but the package runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FIELDS = {
    "collection",
    "engine",
    "documents",
    "queries",
    "judged",
    "moved",
    "method",
    "canary",
    "before",
    "after",
    "revision",
    "rolled_back",
    "seconds",
}


@pytest.mark.slow
def test_it_helps_queries_nobody_saw_and_puts_every_bit_back(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "nudge_sync", "demo", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"TMPDIR": str(tmp_path), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result.keys() == FIELDS
    assert (result["documents"], result["queries"], result["revision"]) == (199, 1200, 1)
    assert result["before"].keys() == result["after"].keys() == {"ndcg@10", "recall@10", "recall@1"}
    assert 0.66 < result["before"]["ndcg@10"] < 0.69
    assert result["after"]["ndcg@10"] >= result["before"]["ndcg@10"] + 0.15
    canary = result["canary"]
    assert [each["step"] for each in canary[:-1]] == ["none"] * (len(canary) - 1)
    assert (canary[-1]["step"], canary[-1]["interval"][0] > 0) == ("promoted", True)
    back = result["rolled_back"]
    assert (back["points"], back["identical"], back["max_abs_difference"]) == (199, 199, 0)
    assert not list(tmp_path.iterdir())
