"""Time of `finetune` against nudge-ft and against one bare product, side by side.

.bench/bin/python benchmarks/solver_speed.py [--skip-nudge-ft] [--documents 100000]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time

import faiss
import numpy as np

from nudge_sync import finetune
from nudge_sync.solve.topk import best

DIMENSION = 384


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def world(documents, train, validation, judged, seed=0):
    """Documents, and queries near the document that answers each; so many documents judged."""
    random = np.random.default_rng(seed)
    rows = unit(random.standard_normal((documents, DIMENSION), dtype=np.float32))
    answers = random.choice(documents, judged, replace=False)
    asked = np.concatenate(
        [random.permutation(answers)[:train], random.choice(answers, validation)]
    )
    if train > judged:
        asked = np.concatenate([answers, random.choice(answers, train - judged + validation)])
    noise = 2 * unit(random.standard_normal((len(asked), DIMENSION), dtype=np.float32))
    aside = 2 * unit(random.standard_normal((documents, DIMENSION), dtype=np.float32))
    queries = unit(rows[asked] + aside[asked] + noise).astype(np.float32)
    relevant = [[int(one)] for one in asked]
    return rows, queries[:train], relevant[:train], queries[train:], relevant[train:]


def best_of(times, works):
    """The shortest of several runs of each, in turns: the machine is not as fast all the time."""
    found = [[] for _ in works]
    for _ in range(times):
        for seconds, work in zip(found, works, strict=True):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return [min(seconds) for seconds in found]


def theirs(kind, problem):
    rows, queries, relevant, held, answers = problem
    with contextlib.redirect_stdout(io.StringIO()):
        kind().finetune_embeddings(
            rows,
            {"q_embs": queries, "q_ans_indx": relevant},
            {"q_embs": held, "q_ans_indx": answers},
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--documents", type=int, default=100_000)
    options.add_argument("--train", type=int, default=5_000)
    options.add_argument("--validation", type=int, default=1_000)
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--skip-nudge-ft", action="store_true")
    given = options.parse_args()
    problem = world(given.documents, given.train, given.validation, min(given.train, 5_000))
    rows, held = problem[0], problem[3]
    skip = np.unique(np.concatenate(problem[2]))
    works = {
        "one product queries @ documents.T": lambda: held @ rows.T,
        "unjudged top 10": lambda: best(held, rows, 10, skip=skip),
        "faiss.knn, nothing skipped": lambda: faiss.knn(held, rows, 10, faiss.METRIC_INNER_PRODUCT),
        "finetune, nudge-n": lambda: finetune(*problem),
        "  and a copy of all documents": lambda: finetune(*problem).documents,
        "finetune, 10,000 judged, candidates": handed_in(given),
    }
    took = dict(zip(works, best_of(given.repeat, list(works.values())), strict=True))
    product = took["one product queries @ documents.T"]
    print(f"{given.documents} documents, {given.train} training, {given.validation} validation")
    for what, seconds in took.items():
        print(f"  {what:35} {seconds:8.3f} s   {seconds / product:6.2f} products")
    if not given.skip_nudge_ft:
        from nudge import NUDGEM, NUDGEN  # noqa: PLC0415

        for kind in (NUDGEN, NUDGEM):
            (seconds,) = best_of(1, [lambda kind=kind: theirs(kind, problem)])
            print(
                f"  nudge-ft {kind.__name__:26} {seconds:8.3f} s "
                f"  {seconds / product:6.2f} products"
            )
            ours = took["  and a copy of all documents"]
            print(f"  {'':35} {seconds / ours:8.1f} times finetune and the copy")


def handed_in(given):
    """Fine-tuning with what a database's search found, without a look at the corpus."""
    problem = world(given.documents, 10_000, given.validation, 10_000)
    found = best(problem[3], problem[0], 40)
    return lambda: finetune(*problem, candidates=(found.rows, found.scores))


if __name__ == "__main__":
    main()
