"""Measure the time of `finetune` against nudge-ft and against one bare product, side by side.

.bench/bin/python benchmarks/solver_speed.py [--skip-nudge-ft] [--documents 100000]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time

import faiss
import numpy as np
from common.solver_protocol import normalise_rows

from nudge_sync import finetune
from nudge_sync.solve.topk import find_top_k

DIMENSION = 384


def make_problem(documents, train, validation, judged, seed=0):
    """Return documents, and queries near the document that answers each; `judged` answer some."""
    random = np.random.default_rng(seed)
    rows = normalise_rows(random.standard_normal((documents, DIMENSION), dtype=np.float32))
    answers = random.choice(documents, judged, replace=False)
    answer_rows = np.concatenate(
        [random.permutation(answers)[:train], random.choice(answers, validation)]
    )
    if train > judged:
        answer_rows = np.concatenate([answers, random.choice(answers, train - judged + validation)])
    noise = 2 * normalise_rows(
        random.standard_normal((len(answer_rows), DIMENSION), dtype=np.float32)
    )
    offsets = 2 * normalise_rows(random.standard_normal((documents, DIMENSION), dtype=np.float32))
    queries = normalise_rows(rows[answer_rows] + offsets[answer_rows] + noise).astype(np.float32)
    relevant = [[int(row)] for row in answer_rows]
    return rows, queries[:train], relevant[:train], queries[train:], relevant[train:]


def time_in_turns(repeats, tasks):
    """Return the shortest of several runs of each task.

    They run in turns, since a machine is not equally fast all the time.
    """
    timings = [[] for _ in tasks]
    for _ in range(repeats):
        for seconds, work in zip(timings, tasks, strict=True):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return [min(seconds) for seconds in timings]


def run_nudge_ft(kind, problem):
    documents, queries, relevant, validation_queries, validation_relevant = problem
    with contextlib.redirect_stdout(io.StringIO()):
        kind().finetune_embeddings(
            documents,
            {"q_embs": queries, "q_ans_indx": relevant},
            {"q_embs": validation_queries, "q_ans_indx": validation_relevant},
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--documents", type=int, default=100_000)
    options.add_argument("--train", type=int, default=5_000)
    options.add_argument("--validation", type=int, default=1_000)
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--skip-nudge-ft", action="store_true")
    given = options.parse_args()
    problem = make_problem(given.documents, given.train, given.validation, min(given.train, 5_000))
    documents, validation_queries = problem[0], problem[3]
    skip = np.unique(np.concatenate(problem[2]))
    tasks = {
        "one product queries @ documents.T": lambda: validation_queries @ documents.T,
        "unjudged top 10": lambda: find_top_k(validation_queries, documents, 10, skip=skip),
        "faiss.knn, nothing skipped": lambda: faiss.knn(
            validation_queries, documents, 10, faiss.METRIC_INNER_PRODUCT
        ),
        "finetune, nudge-n": lambda: finetune(*problem),
        "  and a copy of all documents": lambda: finetune(*problem).documents,
        "finetune, 10,000 judged, candidates": make_candidates_task(given),
    }
    seconds_by_task = dict(
        zip(tasks, time_in_turns(given.repeat, list(tasks.values())), strict=True)
    )
    product = seconds_by_task["one product queries @ documents.T"]
    print(f"{given.documents} documents, {given.train} training, {given.validation} validation")
    for what, seconds in seconds_by_task.items():
        print(f"  {what:35} {seconds:8.3f} s   {seconds / product:6.2f} products")
    if not given.skip_nudge_ft:
        from nudge import NUDGEM, NUDGEN  # noqa: PLC0415

        for kind in (NUDGEN, NUDGEM):
            (seconds,) = time_in_turns(1, [lambda kind=kind: run_nudge_ft(kind, problem)])
            print(
                f"  nudge-ft {kind.__name__:26} {seconds:8.3f} s "
                f"  {seconds / product:6.2f} products"
            )
            ours = seconds_by_task["  and a copy of all documents"]
            print(f"  {'':35} {seconds / ours:8.1f} times finetune and the copy")


def make_candidates_task(given):
    """Return a task that fine-tunes with candidates from a search, without the whole corpus."""
    problem = make_problem(given.documents, 10_000, given.validation, 10_000)
    candidates = find_top_k(problem[3], problem[0], 40)
    return lambda: finetune(*problem, candidates=(candidates.rows, candidates.scores))


if __name__ == "__main__":
    main()
