"""Evaluation sets, written at test time by the tools that people write them with."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import ir_datasets
import pytest
from ir_datasets.commands import export

from nudge_sync.errors import InputError
from tests.support.feedback_store import Trial, try_import
from tests.support.sources.environments import find_or_make_environment
from tests.support.timeouts import TIMEOUT_SECONDS

QUESTIONS: list[dict[str, Any]] = [
    {"id": "q1", "text": "red shoes, size 9", "shown": ["12", "11"], "answers": ["11", "13"]},
    {"id": "q2", "text": 'a "blue" lamp', "shown": ["14"], "answers": ["15"]},
]
TEXTS = {question["text"]: question for question in QUESTIONS}
SUPPORT = Path(__file__).parents[2] / "support" / "sources"


def run_program(environment: str, name: str, target: Path) -> None:
    """Let a tool in an environment of its own write the questions."""
    # -P: what stands beside the program must not be taken for packages of those names.
    python = str(find_or_make_environment(environment) / "python")
    done = subprocess.run(
        [python, "-P", str(SUPPORT / name), str(target)],
        input=json.dumps(QUESTIONS),
        capture_output=True,
        text=True,
        check=False,
        timeout=10 * TIMEOUT_SECONDS,
        env={**os.environ, "RAGAS_DO_NOT_TRACK": "true", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What Ragas and datasets wrote."""
    folder = tmp_path_factory.mktemp("sets")
    run_program("evaluation", "evaluation_program.py", folder)
    return folder


def check_answers(trial: Trial) -> None:
    """Assert that the answers of all questions are stored as labels, under their texts."""
    texts = {query_id: text for query_id, (text, _) in trial.searches.items()}
    labels = sorted((texts[event[0]], event[2]) for event in trial.events)
    expected = [(text, int(answer)) for text in TEXTS for answer in TEXTS[text]["answers"]]
    assert labels == sorted(expected)
    assert {event[1] for event in trial.events} == {"relevant"}
    assert trial.report.rejected == 0


@pytest.mark.parametrize("name", ["ragas.jsonl", "ragas.csv", "ragas.parquet"])
def test_ragas(folder, name):
    trial = try_import(folder / name)
    check_answers(trial)
    shown = dict(trial.searches.values())
    assert set(shown) == set(TEXTS)


@pytest.mark.parametrize("name", ["mteb-parquet", "mteb-json"])
def test_a_retrieval_task_of_mteb(folder, name):
    trial = try_import(folder / name)
    check_answers(trial)
    assert set(trial.searches) == {"q1", "q2"}


def test_a_set_that_datasets_keeps_for_itself_is_named(folder):
    [path] = (folder / "arrow").glob("*.arrow")
    with pytest.raises(InputError, match="write it as Parquet"):
        try_import(path)


def test_llama_index(tmp_path):
    run_program("llama-index", "llama_index_program.py", tmp_path / "qa.json")
    check_answers(try_import(tmp_path / "qa.json"))


@pytest.fixture
def exported(tmp_path) -> Path:
    """Queries and qrels as `ir_datasets export` writes them."""
    (tmp_path / "queries").write_text(
        "".join(f"{each['id']}\t{each['text']}\n" for each in QUESTIONS), encoding="utf-8"
    )
    (tmp_path / "qrels").write_text(
        "".join(f"{each['id']} 0 {answer} 1\n" for each in QUESTIONS for answer in each["answers"]),
        encoding="utf-8",
    )
    dataset = ir_datasets.create_dataset(
        queries_tsv=str(tmp_path / "queries"), qrels_trec=str(tmp_path / "qrels")
    )
    ir_datasets.registry.register("shoes", dataset)
    try:
        for kind in ("queries", "qrels"):
            with (tmp_path / f"{kind}.out").open("w") as file, redirect_stdout(file):
                export.main(["shoes", kind])
    finally:
        del ir_datasets.registry._registered["shoes"]
    return tmp_path


def test_what_ir_datasets_exports(exported):
    check_answers(try_import(exported / "queries.out", exported / "qrels.out"))
