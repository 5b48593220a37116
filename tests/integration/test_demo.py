"""The demo, as somebody with nothing but the package runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from nudge_sync.demo.requests import load_demo_data, split_requests

FIELDS = {
    "collection",
    "engine",
    "documents",
    "queries",
    "judged",
    "moved",
    "method",
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
    back = result["rolled_back"]
    assert (back["points"], back["identical"], back["max_abs_difference"]) == (199, 199, 0)
    assert not list(tmp_path.iterdir())


def test_its_data_is_whole_and_the_parts_share_nothing():
    tools, requests = load_demo_data()
    assert tools.vectors.shape == (199, 384)
    assert np.allclose(np.linalg.norm(requests.vectors, axis=1), 1, atol=1e-6)
    assert all(requests.answers)
    taught, unseen = split_requests(requests)
    assert (len(taught.names), len(unseen.names)) == (4800, 1200)
    assert not set(taught.names) & set(unseen.names)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--on", "qdrant"), "needs --url"),
        (("--on", "sqlite"), "the demo runs on"),
    ],
)
def test_what_it_does_not_run_on(words, expected):
    run = [sys.executable, "-m", "nudge_sync", "demo", *words]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (done.returncode, expected in done.stderr) == (2, True)
