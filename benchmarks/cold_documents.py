"""What nudging costs documents without feedback, on real collections.

.bench/bin/python benchmarks/cold_documents.py [--sets cranfield,metatool] [--seeds 0,1,2,3,4]

Of the judged documents 30 % lose every judgement of the training and validation queries ("cold").
Methods learn from what is left; held-out queries are scored on all answers, on warm answers alone
and on cold answers alone, NDCG@10. A query's other answers leave the ranking, so that a right
answer in front is no loss. Queries that lose all their answers are left out of training, unless
--unlabelled hands them over as queries without judgements (a log has many of those).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from solver_protocol import SETS, Dataset, load_dataset

from nudge_sync import finetune
from nudge_sync.solve.selection.document_folds import SUGGESTED_COLD_SHARE

COLD_SHARE_OF_DOCUMENTS = 0.3
METHODS = ("nothing", "auto", "nudge-n", "nudge-h", "auto-cold")
"""Of these nudge-h and auto-cold are tuned with a cold share, as nudge-c is if asked for."""
KINDS = ("all", "warm", "cold")
DEPTH = 10


@dataclass(frozen=True)
class ColdTrial:
    data: Dataset
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    is_cold: np.ndarray

    @classmethod
    def draw(cls, data: Dataset, seed: int, unlabelled: bool) -> ColdTrial:
        random = np.random.default_rng(seed)
        order = random.permutation(len(data.queries))
        first, second = int(0.7 * len(order)), int(0.8 * len(order))
        judged = np.unique(data.relevance.indices)
        is_cold = np.zeros(len(data.documents), bool)
        is_cold[random.choice(judged, int(COLD_SHARE_OF_DOCUMENTS * len(judged)), False)] = True
        trial = cls(data, order[:first], order[first:second], order[second:], is_cold)
        has_warm = np.asarray((trial.select_answers(False) > 0).sum(axis=1)).ravel() > 0
        train, validation = (
            rows if unlabelled else rows[has_warm[rows]] for rows in (trial.train, trial.validation)
        )
        return cls(data, train, validation, trial.test, is_cold)

    def select_answers(self, cold: bool) -> csr_matrix:
        return csr_matrix(self.data.relevance.multiply(self.is_cold == cold))

    def finetune(self, method: str, cold_share: float):
        """The documents, what was chosen, and the report on cold answers."""
        if method == "nothing":
            return self.data.documents, "", None
        warm = Dataset(self.data.documents, self.data.queries, self.select_answers(False))
        counts_cold = method in {"nudge-h", "nudge-c", "auto-cold"}
        fit = finetune(
            warm.documents,
            warm.queries[self.train],
            [drop_zeros(one) for one in warm.relevant(self.train)],
            warm.queries[self.validation],
            [drop_zeros(one) for one in warm.relevant(self.validation)],
            method.removesuffix("-cold"),
            cold_share=cold_share if counts_cold else None,
        )
        settings = {
            name: round(value, 3)
            for name, value in fit.parameters.items()
            if name in {"angle", "neighbours", "prior", "unjudged_weight"}
        }
        return fit.documents, f"{fit.method} {settings}", fit.cold

    def score(self, documents: np.ndarray) -> list[float]:
        """Mean NDCG@10 of the held-out queries on all, warm and cold answers."""
        return [100 * self._score_kind(documents, kind) for kind in KINDS]

    def _score_kind(self, documents: np.ndarray, kind: str) -> float:
        relevance = self.data.relevance if kind == "all" else self.select_answers(kind == "cold")
        discounts, values = 1 / np.log2(np.arange(2, DEPTH + 2)), []
        for low in range(0, len(self.test), 256):
            rows = self.test[low : low + 256]
            grades = relevance[rows].toarray()
            scores = self.data.queries[rows] @ documents.T
            scores[(self.data.relevance[rows].toarray() != 0) & (grades == 0)] = -np.inf
            top = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
            gains = np.take_along_axis(grades, top, axis=1) @ discounts
            ideal = -np.sort(-grades, axis=1)[:, :DEPTH] @ discounts
            values.append(gains[ideal > 0] / ideal[ideal > 0])
        return float(np.concatenate(values).mean())


def drop_zeros(grades: dict) -> dict:
    return {row: grade for row, grade in grades.items() if grade}


def print_set(name: str, given) -> None:
    data = load_dataset(name)
    data = Dataset(unit_rows(data.documents), unit_rows(data.queries), data.relevance)
    seeds = [int(one) for one in given.seeds.split(",")]
    trials = [ColdTrial.draw(data, seed, given.unlabelled) for seed in seeds]
    print(f"\n{name}: NDCG@10 on all / warm / cold answers, means of {len(seeds)} seeds; seconds")
    baseline = None
    for method in given.methods.split(","):
        start, scores, notes = time.perf_counter(), [], []
        for trial in trials:
            documents, chosen, report = trial.finetune(method, given.cold_share)
            scores.append(trial.score(documents))
            notes.append(chosen + describe_report(report, method))
        baseline = scores if method == "nothing" else baseline
        figures = " / ".join(f"{one:.1f}" for one in np.mean(scores, axis=0))
        print(f"  {method:10} {figures}   {describe_gains(scores, baseline)}", end="")
        print(f"   {(time.perf_counter() - start) / len(trials):.1f} s", flush=True)
        for seed, note in zip(seeds, notes, strict=True):
            if note and given.verbose:
                print(f"      seed {seed}: {note}")


def describe_gains(scores, baseline) -> str:
    """Mean gains over doing nothing, each with its standard error over the seeds."""
    if baseline is None:
        return ""
    gains = np.array(scores) - np.array(baseline)
    errors = gains.std(axis=0, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else gains[0] * 0
    return " / ".join(
        f"{mean:+.1f}±{error:.1f}" for mean, error in zip(gains.mean(axis=0), errors, strict=True)
    )


def describe_report(report, method: str) -> str:
    if report is None:
        return ""
    return "; by document folds " + ", ".join(
        f"{kind} {100 * gain.mean:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
        for kind, gain in (("warm", report.warm), ("cold", report.cold))
    )


def unit_rows(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sets", default=",".join(SETS))
    options.add_argument("--seeds", default="0,1,2,3,4")
    options.add_argument("--methods", default=",".join(METHODS))
    options.add_argument("--cold-share", type=float, default=SUGGESTED_COLD_SHARE)
    options.add_argument("--unlabelled", action="store_true")
    options.add_argument("--verbose", action="store_true")
    given = options.parse_args()
    for name in given.sets.split(","):
        print_set(name, given)


if __name__ == "__main__":
    main()
