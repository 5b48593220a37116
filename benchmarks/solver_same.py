"""Compare the documents at a fixed angle or step with those of nudge-ft 0.1.2.

.bench/bin/python benchmarks/solver_same.py [--write tests/data/nudge-ft.npz]
"""

from __future__ import annotations

import argparse
import contextlib
import io

import numpy as np
from common.solver_protocol import load_dataset, normalise_rows, split_queries
from nudge import NUDGEM, NUDGEN

from nudge_sync import finetune, nudge_ft

GAMMAS = (0.02, 0.1, 0.3, 0.48)
STEPS = (0.1, 0.6, 1.5)


def run_nudge_ft(kind, documents, train, validation, gamma):
    with contextlib.redirect_stdout(io.StringIO()):
        return kind().finetune_embeddings(documents.copy(), train, validation, gamma=gamma)


def make_query_set(data, rows):
    return {
        "q_embs": data.queries[rows],
        "q_ans_indx": [list(grades) for grades in data.relevant(rows)],
    }


def compare_methods(name: str) -> None:
    data = load_dataset(name)
    train_rows, validation_rows, _ = split_queries(len(data.queries), 0)
    train, validation = make_query_set(data, train_rows), make_query_set(data, validation_rows)
    both = (train["q_embs"], train["q_ans_indx"], validation["q_embs"], validation["q_ans_indx"])
    for gamma in GAMMAS:
        expected = run_nudge_ft(NUDGEN, data.documents, train, validation, gamma)
        usable = np.isfinite(expected).all(axis=1)
        ours = finetune(data.documents, *both, "nudge-n", angle=float(np.arccos(1 - gamma / 2)))
        twin = nudge_ft.NUDGEN().finetune_embeddings(data.documents, train, validation, gamma=gamma)
        print_differences(name, f"N {gamma}", expected, ours.documents, twin, usable)
    for step in STEPS:
        expected = run_nudge_ft(NUDGEM, data.documents, train, validation, step)
        ours = finetune(data.documents, *both, "nudge-m", angle=step, similarity="dot")
        twin = nudge_ft.NUDGEM().finetune_embeddings(data.documents, train, validation, gamma=step)
        print_differences(
            name, f"M {step}", expected, ours.documents, twin, np.ones(len(expected), bool)
        )


def print_differences(name, what, expected, ours, twin, usable) -> None:
    differences = [float(np.abs(expected - one)[usable].max()) for one in (ours, twin)]
    print(
        f"{name:10} {what:7} {differences[0]:10.1e} {differences[1]:10.1e} {(~usable).sum():6} "
        "rows NaN there"
    )


def solve_small_problem() -> dict[str, np.ndarray]:
    """Return a small problem with nudge-ft's results.

    It has duplicates, opposing pulls, and rows that nothing pulls.
    """
    random = np.random.default_rng(7)
    documents = normalise_rows(random.normal(size=(40, 12)).astype(np.float32))
    answers = random.integers(0, 30, size=(60, 2))
    queries = documents[answers[:, 0]] + 0.6 * random.normal(size=(60, 12)).astype(np.float32)
    queries[:3] *= -1
    queries = normalise_rows(queries).astype(np.float32)
    train = {"q_embs": queries[:45], "q_ans_indx": [[int(row)] for row in answers[:45, 0]]}
    validation = {"q_embs": queries[45:], "q_ans_indx": [[int(row)] for row in answers[45:, 0]]}
    arrays = {"documents": documents, "queries": queries, "answers": answers[:, 0]}
    for gamma in GAMMAS:
        arrays[f"n{gamma}"] = run_nudge_ft(NUDGEN, documents, train, validation, gamma)
    for step in STEPS:
        arrays[f"m{step}"] = run_nudge_ft(NUDGEM, documents, train, validation, step)
    return arrays


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--write")
    options.add_argument("--sets", default="nfcorpus,cranfield,metatool")
    given = options.parse_args()
    print("set        method    finetune   drop-in  (largest difference of a component)")
    for name in given.sets.split(","):
        compare_methods(name)
    if given.write:
        np.savez_compressed(given.write, **solve_small_problem())
