"""Files that `evaluate` is pointed at, and the command line in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.errors import NudgeSyncError
from nudge_sync.evaluate.sources import beir
from nudge_sync.evaluate.sources.files import TaskFiles, read_task
from tests.support.broken_npy_files import BROKEN_ARRAYS


def folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for name, count in (("documents", 4), ("queries", 3)):
        np.save(path / f"{name}.npy", rng.normal(size=(count, 4)).astype(np.float32))
        ids = [f"{name[0]}{row}" for row in range(count)]
        (path / f"{name}.txt").write_text("\n".join(ids), encoding="utf-8")
    (path / "qrels.tsv").write_text("q0\td0\t1\nq1\td1\t2\nq2\td2\t1\n", encoding="utf-8")
    return path


PARTS = ["documents.npy", "queries.npy", "documents.txt", "queries.txt", "qrels.tsv"]


@pytest.mark.parametrize("number", range(len(BROKEN_ARRAYS)))
@pytest.mark.parametrize("name", PARTS[:2])
def test_an_array_that_is_none(tmp_path, name, number):
    where = folder(tmp_path / "set")
    (where / name).write_bytes(BROKEN_ARRAYS[number])
    with pytest.raises(NudgeSyncError):
        read_task(TaskFiles.from_folder(where), "set")


@given(name=st.sampled_from(PARTS), content=st.binary(max_size=120))
def test_any_bytes_are_a_set_or_refused(tmp_path_factory, name, content):
    where = folder(tmp_path_factory.getbasetemp() / "any")
    (where / name).write_bytes(content)
    try:
        read_task(TaskFiles.from_folder(where), "set")
    except NudgeSyncError:
        return


LINES = st.lists(
    st.text(max_size=30)
    | st.builds(
        lambda a, b: json.dumps({"_id": a, "text": b}),
        st.none() | st.integers() | st.text(max_size=5),
        st.none() | st.text(max_size=5) | st.lists(st.integers()),
    )
    | st.sampled_from(["[]", "null", "1", '{"_id": "d0"}', "[" * 50_000, "\x00", "q0\td0\t1"]),
    max_size=4,
).map("\n".join)


@given(corpus=LINES, queries=LINES, qrels=LINES)
def test_any_text_is_a_beir_folder_or_refused(tmp_path_factory, corpus, queries, qrels):
    where = tmp_path_factory.getbasetemp() / "beir"
    (where / "qrels").mkdir(parents=True, exist_ok=True)
    for name, text in (("corpus.jsonl", corpus), ("queries.jsonl", queries)):
        (where / name).write_text(text, encoding="utf-8", errors="surrogatepass")
    (where / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8", errors="surrogatepass")
    try:
        texts = beir.load_dataset_folder(where)
        list(texts.documents())
        list(texts.queries)
    except NudgeSyncError:
        return


COMMANDS = [
    ["check", "--config", "/dev/null"],
    ["check", "--config", "\udcff\udcfe"],
    ["apply", "--yes", "--plan", "/dev/zero", "--config", "absent"],
    ["evaluate", "/dev/null"],
    ["feedback", "import", "--config", "/proc/self/mem", "absent"],
    ["show", "9" * 5000],
    ["plan", "--config", "x" * 5000],
    ["init", "--config", "/proc/version/x", "--json"],
]


@pytest.mark.parametrize("number", range(len(COMMANDS)))
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_traceback_from_a_process_of_its_own(tmp_path, number, encoding):
    done = subprocess.run(
        [sys.executable, "-m", "nudge_sync", *COMMANDS[number]],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        timeout=120,
        env={**os.environ, "PYTHONIOENCODING": encoding, "NUDGE_SYNC_DEBUG": ""},
    )
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode in {1, 2}
    assert "Traceback" not in said
    assert "this is a bug" not in said
    assert said.strip()
