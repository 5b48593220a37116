"""`feedback pull`, and the daemon's fetches, on a collection and on files of traces."""

from __future__ import annotations

import json
import shutil
import time

import numpy as np
import pytest

from nudge_sync.testing.source_conformance import LoggedSearch
from tests.integration.test_daemon import read_metric, start_daemon, stop_daemon, wait_until
from tests.support.canned_server import Answers, start_server
from tests.support.sources.otlp import build_request, convert_to_json
from tests.support.workspace import Workspace, make_workspace

SOURCE = """
[[feedback.sources]]
source = "openinference"
name = "traces"
path = "traces.jsonl"
cited = "metadata.cited"
"""
ACTIONS = "[feedback.actions]\ncited = 1.0\n"


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    workspace = make_workspace(tmp_path / "shop")
    workspace.write_config(SOURCE + ACTIONS)
    return workspace


def make_searches(workspace: Workspace, rows: range, turn=None) -> list[LoggedSearch]:
    """Searches that the shop's queries are; each shows its answer first."""
    start = time.time() - 86_400
    queries = workspace.data.queries if turn is None else workspace.data.queries @ turn
    return [
        LoggedSearch(
            text=f"question {row}",
            vector=tuple(map(float, queries[row])),
            shown=(str(workspace.data.answers[row]), str((workspace.data.answers[row] + 1) % 400)),
            time=start + row,
            session=f"s{row}",
            client=f"c{row}",
        )
        for row in rows
    ]


def log(workspace: Workspace, searches: list[LoggedSearch]) -> None:
    with (workspace.folder / "traces.jsonl").open("a") as file:
        file.write(json.dumps(convert_to_json(build_request(searches))) + "\n")


def get_counts(result: dict) -> list[int]:
    return [result[name] for name in ("searches", "events", "unchanged", "rejected")]


def test_only_what_is_new_is_stored(workspace):
    log(workspace, make_searches(workspace, range(10)))
    first = workspace.run("feedback", "pull", "traces")
    assert get_counts(first) == [10, 10, 0, 0]
    assert get_counts(workspace.run("feedback", "pull", "traces")) == [0, 0, 0, 0]
    log(workspace, make_searches(workspace, range(10, 14)))
    assert get_counts(workspace.run("feedback", "pull", "traces")) == [4, 4, 0, 0]
    stats = workspace.run("feedback", "stats")
    assert (stats["searches"], stats["events"]) == (14, 14)


def test_feedback_of_an_older_backup_is_fetched_again(workspace):
    log(workspace, make_searches(workspace, range(10)))
    workspace.run("feedback", "pull", "traces")
    companions = [f"docs__nudge_{name}" for name in ("queries", "events")]
    shards, backup = workspace.folder / "shards", workspace.folder / "backup"
    for name in companions:
        shutil.copytree(shards / name, backup / name)
    log(workspace, make_searches(workspace, range(10, 14)))
    assert get_counts(workspace.run("feedback", "pull", "traces")) == [4, 4, 0, 0]

    for name in companions:
        shutil.rmtree(shards / name)
        shutil.copytree(backup / name, shards / name)
    assert get_counts(workspace.run("feedback", "pull", "traces")) == [0, 0, 0, 0]
    dry = workspace.run("feedback", "pull", "traces", "--from-beginning", "--dry-run")
    assert dry["sample"]
    again = workspace.run("feedback", "pull", "traces", "--from-beginning")
    assert get_counts(again) == [14, 14, 20, 0]
    stats = workspace.run("feedback", "stats")
    assert (stats["searches"], stats["events"]) == (14, 14)
    assert get_counts(workspace.run("feedback", "pull", "traces")) == [0, 0, 0, 0]


def test_another_table_is_read_from_its_beginning(workspace):
    log(workspace, make_searches(workspace, range(10)))
    workspace.write_config(SOURCE.replace("metadata.cited", "metadata.quoted") + ACTIONS)
    assert get_counts(workspace.run("feedback", "pull", "traces")) == [10, 0, 0, 0]
    workspace.write_config(SOURCE + ACTIONS)
    assert get_counts(workspace.run("feedback", "pull", "traces")) == [10, 10, 10, 0]


def test_a_dry_run_stores_nothing(workspace):
    searches = make_searches(workspace, range(20))
    strange = LoggedSearch("strange", searches[0].vector, ("nowhere",), time.time(), "s", "c")
    log(workspace, [*searches, strange])
    sample = workspace.run("feedback", "pull", "traces", "--dry-run")
    assert len(sample["sample"]) == 10
    assert sample["sample"][0]["text"] == "question 0"
    assert sample["unknown_points"] == ["nowhere"]
    assert sample["points"]["found"] == sample["points"]["named"] - 1
    assert sample["reasons"] == {"unknown point": 1}
    assert workspace.run("feedback", "stats")["searches"] == 0
    assert get_counts(workspace.run("feedback", "pull", "traces")) == [21, 20, 0, 1]


def test_pulled_feedback_passes_the_gate(workspace):
    log(workspace, make_searches(workspace, range(len(workspace.data.queries))))
    result = workspace.run("feedback", "pull", "traces")
    assert result["model"]["matches"] is True
    plan = workspace.run("plan")
    assert plan["gate"]["passed"]
    assert plan["after"]["ndcg@10"] > plan["before"]["ndcg@10"]


def test_searches_of_another_model_are_refused(workspace):
    dimension = workspace.data.queries.shape[1]
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(dimension, dimension)))
    log(workspace, make_searches(workspace, range(400), turn))
    message = workspace.run("feedback", "pull", "traces", code=2)
    assert "another embedding model" in message
    assert workspace.run("feedback", "stats")["searches"] == 0
    workspace.write_config(SOURCE + "check_model = false\n" + ACTIONS)
    assert workspace.run("feedback", "pull", "traces")["searches"] == 400


def test_names_and_sources_that_are_not_there(workspace):
    assert "the file has: traces" in workspace.run("feedback", "pull", "phoenix", code=2)
    assert "no such file" in workspace.run("feedback", "pull", "traces", code=1)
    workspace.write_config('[[feedback.sources]]\nsource = "nowhere"\n')
    message = workspace.run("feedback", "pull", "nowhere", code=2)
    assert "installed are: " in message
    assert "phoenix" in message
    workspace.write_config(SOURCE + "pth = 1\n")
    assert "did you mean 'path'" in workspace.run("feedback", "pull", "traces", code=2)
    workspace.write_config(SOURCE + SOURCE)
    assert "two sources" in workspace.run("feedback", "pull", "traces", code=2)


@pytest.mark.parametrize("product", ["phoenix", "mlflow"])
def test_an_answer_of_an_unknown_shape_is_said(workspace, product):
    with start_server(Answers) as server:
        server.body = {"somebody": "else"}
        source = f'[[feedback.sources]]\nsource = "{product}"\nurl = "{server.section["url"]}"\n'
        workspace.write_config(source)
        message = workspace.run("feedback", "pull", product, code=1)
    assert "is not of the documented shape" in " ".join(message.split())


def test_the_daemon_fetches_before_each_cycle_and_lives_without_a_source(workspace):
    schedule = '[schedule]\nevery = "1s"\n'
    workspace.write_config(schedule + SOURCE + ACTIONS)
    fetches = 'nudge_sync_source_fetches_total{collection="docs",result="%s",source="traces"}'
    with start_daemon(workspace) as (child, url):
        wait_until(lambda: read_metric(url, fetches % "failed") >= 1)
        log(workspace, make_searches(workspace, range(len(workspace.data.queries))))
        wait_until(lambda: read_metric(url, fetches % "fetched") >= 1)
        cycles = 'nudge_sync_cycles_total{collection="docs",outcome="applied"}'
        wait_until(lambda: read_metric(url, cycles) >= 1)
        lines = [json.loads(line) for line in stop_daemon(child).splitlines()]
    [failed, *_] = [line for line in lines if line["message"] == "feedback not fetched"]
    assert failed["level"] == "warning"
    assert "no such file" in failed["reason"]
