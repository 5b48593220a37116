"""Measure the peak memory of `finetune` above its inputs, with documents in a mapped file.

.bench/bin/python benchmarks/solver_memory.py [--documents 1000000] [--method nudge-n]
Anonymous memory is counted: pages of the mapped file are the input.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from common.memory import watch_memory
from common.solver_protocol import normalise_rows

from nudge_sync import finetune


def write_documents(path, count, dimension):
    random = np.random.default_rng(0)
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (count, dimension))
    for low in range(0, count, 20_000):
        block = random.standard_normal((min(20_000, count - low), dimension), dtype=np.float32)
        rows[low : low + 20_000] = normalise_rows(block)
    rows.flush()


def make_queries(documents, answers, random):
    """Return queries that miss their answers, those of one document in one direction."""
    known, which = np.unique(answers, return_inverse=True)
    offsets = random.standard_normal((len(known), 384), dtype=np.float32) / 384**0.5
    noise = random.standard_normal((len(answers), 384), dtype=np.float32) / 384**0.5
    return documents[answers] + 2 * offsets[which] + 2 * noise


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--documents", type=int, default=1_000_000)
    options.add_argument("--train", type=int, default=5_000)
    options.add_argument("--validation", type=int, default=1_000)
    options.add_argument("--method", default="nudge-n")
    given = options.parse_args()
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents.npy"
        write_documents(path, given.documents, 384)
        documents = np.load(path, mmap_mode="r")
        answers = random.choice(given.documents, given.train + given.validation)
        answers[given.train :] = random.choice(answers[: given.train], given.validation)
        queries = make_queries(documents, answers, random)
        relevant = [[int(row)] for row in answers]
        train_count = given.train
        with watch_memory() as peak:
            baseline, start = peak.anonymous, time.perf_counter()
            fit = finetune(
                documents,
                queries[:train_count],
                relevant[:train_count],
                queries[train_count:],
                relevant[train_count:],
                given.method,
            )
            moved = fit.documents
            seconds = time.perf_counter() - start
        size = documents.nbytes / 2**20
        print(f"{fit.method}, {fit.parameters}")
        print(f"{given.method}: {len(fit.moved)} of {len(moved)} documents ({size:.0f} MB) moved")
        print(f"peak above the inputs {peak.anonymous - baseline:.0f} MB, {seconds:.1f} s")


if __name__ == "__main__":
    main()
