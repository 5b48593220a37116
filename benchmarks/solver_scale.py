"""How the solver's time grows with the judged points, and what sampled softmax costs and keeps.

    python benchmarks/solver_scale.py [--judged 10000,20000,40000] [--all-pairs-up-to 20000]
    python benchmarks/solver_scale.py --gain [--sets nfcorpus,cranfield,metatool] [--seeds 0,1]

The first form fits a made-up collection (`common/large/corpus.py`) with as many queries as judged
points, of which one in four is held out. For each size: processor seconds of NUDGE-C over all pairs
(where asked for) and over cells and samples, each with the NDCG@10 that held-out queries gain; how
far the two results lie apart, as a share of how far points move; how many times longer all pairs
take; and the seconds of the whole choice (`auto` with a cold share of 0.5) that `plan` makes.

--gain compares the two on real collections, which are small: cells of 32 points there, of which a
query looks into 4, and samples of --sampled points and queries.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from common.cold_trial import unit_rows
from common.large.corpus import MadeUpCorpus
from common.solver_protocol import Dataset, load_dataset, measure_metrics, split_queries
from scipy.sparse import csr_matrix

from nudge_sync.solve.fit import fit
from nudge_sync.solve.nudge_c import NudgeCSettings, contrast, estimate_sharpness
from nudge_sync.solve.nudge_c_inputs import NudgeCInputs, build_nudge_c_inputs
from nudge_sync.solve.problem import BUCKET_COUNT, JudgedQueries

ALL_PAIRS, NO_PAIRS = 1 << 62, 0
"""Values of `MAX_DENSE_PAIRS` that make the softmax take all pairs, or none without cells."""
SMALL_CELLS, FEW_CELLS = 32, 4
"""Points of a cell, and cells that a query looks into, with --gain."""
MAX_TESTED = 2000
"""Most held-out queries that are scored."""


@dataclass(frozen=True)
class Problem:
    """A collection with training queries and queries that are held out."""

    data: Dataset
    train: np.ndarray
    test: np.ndarray

    @classmethod
    def make_up(cls, judged: int) -> Problem:
        corpus = MadeUpCorpus(50 * judged, judged)
        rows = [list(corpus.find_answers(row)) for row in range(judged)]
        starts = np.cumsum([0, *map(len, rows)])
        relevance = csr_matrix((np.ones(starts[-1]), np.concatenate(rows), starts))
        queries = corpus.queries.astype(np.float32)
        is_test = np.arange(judged) % 4 == 3
        data = Dataset(corpus.judged_vectors, queries, relevance)
        return cls(data, np.flatnonzero(~is_test), np.flatnonzero(is_test))

    @classmethod
    def draw(cls, data: Dataset, seed: int) -> Problem:
        train, validation, test = split_queries(len(data.queries), seed)
        return cls(data, np.concatenate([train, validation]), test)

    def build_inputs(self) -> NudgeCInputs:
        answers = csr_matrix(self.data.relevance[self.train] > 0, dtype=np.float64)
        nobody = csr_matrix(answers.shape)
        none = np.full((len(self.train), 1), -np.inf, np.float32)
        return build_nudge_c_inputs(self.data.queries[self.train], answers, nobody, none)

    def move(self, max_dense_pairs: int) -> tuple[np.ndarray, float]:
        """Return the points as NUDGE-C moves them, and the processor's seconds."""
        queries, points = self.data.queries[self.train], self.data.documents
        settings = NudgeCSettings(estimate_sharpness(queries, points, "cosine"))
        inputs, start = self.build_inputs(), time.process_time()
        with patch("nudge_sync.solve.nudge_c.MAX_DENSE_PAIRS", max_dense_pairs):
            moved = contrast(points, inputs, settings)
        return moved, time.process_time() - start

    def score(self, points: np.ndarray) -> float:
        """Mean NDCG@10 of held-out queries, in percent."""
        rows = self.test[:MAX_TESTED]
        data = self.data
        return measure_metrics(points, data.queries[rows], data.relevance[rows])["ndcg@10"]

    def gain(self, points: np.ndarray) -> float:
        return self.score(points) - self.score(self.data.documents)

    def time_choice(self) -> float:
        """Return the processor's seconds of `auto` with a cold share of 0.5."""
        rows = np.sort(np.concatenate([self.train, self.test]))
        none = np.full((len(rows), 1), -np.inf, np.float32)
        judged = JudgedQueries(self.data.queries[rows], self.data.relevance[rows], none)
        buckets, start = np.arange(len(rows)) % BUCKET_COUNT, time.process_time()
        fit(self.data.documents, judged, buckets, metric="ndcg@1", cold_share=0.5)
        return time.process_time() - start


def print_size(judged: int, all_pairs: bool) -> float:
    """Print a line of figures, and return the seconds of the whole choice."""
    problem = Problem.make_up(judged)
    sampled, seconds = problem.move(NO_PAIRS)
    line = f"{judged:>9,}{{}}  {seconds:6.1f} s {problem.gain(sampled):+6.1f}"
    figures = f"{'-':>9}{'-':>8}"
    if all_pairs:
        whole, whole_seconds = problem.move(ALL_PAIRS)
        figures = f"{whole_seconds:7.1f} s {problem.gain(whole):+6.1f}"
        apart = np.linalg.norm(sampled - whole, axis=1).mean()
        moved = np.linalg.norm(whole - problem.data.documents, axis=1).mean()
        line += f"  {100 * apart / moved:5.1f} %  {whole_seconds / seconds:5.1f}"
    else:
        line += f"  {'-':>7}  {'-':>5}"
    choice = problem.time_choice()
    print(line.format(figures) + f"  {choice:7.1f} s", flush=True)
    return choice


def print_gain(name: str, seeds: list[int], data_folder: Path | None) -> None:
    data = load_dataset(name, data_folder)
    data = Dataset(unit_rows(data.documents), unit_rows(data.queries), data.relevance)
    gains = np.array(
        [
            [problem.gain(problem.move(limit)[0]) for limit in (ALL_PAIRS, NO_PAIRS)]
            for problem in (Problem.draw(data, seed) for seed in seeds)
        ]
    )
    print(f"{name:12}  {gains[:, 0].mean():+6.2f}  {gains[:, 1].mean():+6.2f}", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--judged", default="10000,20000,40000")
    options.add_argument("--all-pairs-up-to", type=int, default=20_000)
    options.add_argument("--gain", action="store_true")
    options.add_argument("--sets", default="nfcorpus,cranfield,metatool")
    options.add_argument("--seeds", default="0,1")
    options.add_argument("--sampled", type=int, default=1024)
    options.add_argument("--data", type=Path)
    given = options.parse_args()
    if given.gain:
        print(f"gain in NDCG@10    all    cells and {given.sampled} sampled")
        with (
            patch("nudge_sync.solve.softmax.cells.POINTS_PER_CELL", SMALL_CELLS),
            patch("nudge_sync.solve.softmax.cells.CELLS_PER_QUERY", FEW_CELLS),
            patch("nudge_sync.solve.softmax.sampled.MAX_SAMPLED", given.sampled),
        ):
            for name in given.sets.split(","):
                print_gain(name, [int(one) for one in given.seeds.split(",")], given.data)
        return
    print("   judged  all pairs   gain   sampled    gain    apart  times   whole choice")
    sizes = list(map(int, given.judged.split(",")))
    seconds = [print_size(judged, judged <= given.all_pairs_up_to) for judged in sizes]
    if len(sizes) > 1:
        growth = np.log(seconds[-1] / seconds[-2]) / np.log(sizes[-1] / sizes[-2])
        print(f"from {sizes[-2]:,} to {sizes[-1]:,} the choice grows with the {growth:.2f}th power")


if __name__ == "__main__":
    main()
