"""`benchmarks/paper.py` runs on tables of texts and on vectors, and goes on where it stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.evaluation_study import make_task
from tests.support.source_code import ROOT

SCRIPT = """
import argparse, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import paper
from common.result_cache import ResultCache
from nudge_sync.evaluate.sources.embedding import EmbeddingModel
from tests.support.text_embeddings import embed_text

def embed(texts):
    return [embed_text(text) for text in texts]

cache, local = Path(sys.argv[2]), Path(sys.argv[3])
given = argparse.Namespace(
    cache=cache, local=local, methods="nothing,nudge-n", published="BAAI/bge-small-en-v1.5"
)
paper.run_model(given, ResultCache(cache / "results.jsonl"), EmbeddingModel("words", embed, embed),
                ["toys"])
"""
WINGS = [
    f"{shape} wings at {speed}" for shape in ("swept", "delta", "bent") for speed in "abcdefgh"
]


def run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_tables(folder: Path) -> None:
    """A set of texts as the authors' tables hold it: each query has one answer and a grade."""
    folder.mkdir(parents=True)
    ids = list(range(len(WINGS)))
    pq.write_table(pa.table({"record_id": ids, "text": WINGS}), folder / "data_records.parquet")
    start = 0
    for split, count in (("train", 30), ("dev", 12), ("test", 12)):
        answers = [(start + row) % len(WINGS) for row in range(count)]
        asked = {"q_id": list(range(count)), "input": [f"about {WINGS[one]}" for one in answers]}
        judged = {"q_id": list(range(count)), "record_id": answers, "rel": [1] * count}
        pq.write_table(pa.table(asked), folder / f"qs_{split}.parquet")
        pq.write_table(pa.table(judged), folder / f"qs_rel_{split}.parquet")
        start += count


def write_vectors(folder: Path) -> None:
    task = make_task()
    folder.mkdir(parents=True)
    np.save(folder / "documents.npy", task.documents)
    np.save(folder / "queries.npy", task.queries)
    for kind, names in (("documents", task.document_ids), ("queries", task.query_ids)):
        (folder / f"{kind}.txt").write_text("".join(f"{name}\n" for name in names))
    lines = [
        f"{row}\t{d}\t{g}\n"
        for row, grades in enumerate(task.judgements)
        for d, g in grades.items()
    ]
    (folder / "qrels.tsv").write_text("".join(lines))


def read_cache(cache: Path) -> dict[str, dict[str, float]]:
    return dict(map(json.loads, (cache / "results.jsonl").read_text().splitlines()))


def test_tables_of_texts_are_embedded_once_and_keep_their_splits(tmp_path):
    local, cache = tmp_path / "local", tmp_path / "cache"
    write_tables(local / "toys")
    cache.mkdir()
    words = ("-c", SCRIPT, str(ROOT / "benchmarks"), str(cache), str(local))

    printed = run(*words)

    assert "toys, words" in printed
    assert "published 48.65 / 62.41 / 37.01" in printed
    results = read_cache(cache)
    assert set(results) == {"words toys nothing", "words toys nudge-n"}
    ids = (cache / "toys" / "words" / "queries.txt").read_text().split()
    assert [sum(one.startswith(split) for one in ids) for split in ("train", "dev", "test")] == [
        *(30, 12, 12)
    ]

    # Neither texts nor vectors are needed for what is in the cache.
    for file in (local / "toys").iterdir():
        file.unlink()
    assert run(*words) == printed


def test_vectors_are_split_and_scored(tmp_path):
    write_vectors(tmp_path / "local" / "toys")
    cache = tmp_path / "cache"
    words = ("benchmarks/paper.py", "--cache", str(cache), "--local", str(tmp_path / "local"))

    printed = run(*words, "--sets", "toys", "--methods", "nothing,nudge-n")

    results = read_cache(cache)
    gained = {name: values["ndcg@10"] for name, values in results.items()}
    assert gained["vectors toys nudge-n"] > gained["vectors toys nothing"] + 10
    assert f"{gained['vectors toys nudge-n']:.2f}" in printed
