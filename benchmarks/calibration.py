"""How far the gate's interval can be trusted: coverage, false accepts, false refusals.

    python benchmarks/calibration.py [--sets cranfield,metatool,nfcorpus] [--splits 200]

Each split draws three groups of queries: those that choose (--choosing; an eighth validates), up to
200 that are held out, and all others, which come later. A method learns from the first; the gate
(`nudge_sync.planning.gate`, as `plan` asks it) decides by the first 20, 50, 100 and 200 held-out
queries; what comes true is the mean gain of the queries that come later. NDCG@10, in points.

covered     of the splits in which documents move: those whose gain that comes true lies in the 95 %
            interval. due: what an exact interval would cover, since the mean of m later queries is
            uncertain itself; of n held-out ones P(|t| < t(95 %) / sqrt(1 + n / m)).
refused     of the splits that gain on later queries: those that the gate refuses.
shuffled    splits accepted with judgements dealt out anew to the queries that choose and those held
            out: what is then learned, such as which documents are popular, answers no query.
smallest    half the interval's width: a smaller mean gain cannot be shown by so many queries.
deviation   standard deviation of a query's gain.

`gate.min_queries` is left out of account, since the table is to show what it should be.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common.cold_trial import drop_zeros, unit_rows
from common.solver_protocol import Dataset, load_dataset
from scipy.stats import t as student

from nudge_sync import finetune
from nudge_sync.config import GateSettings
from nudge_sync.evaluate.score import score_queries
from nudge_sync.metrics import METRIC_NAMES
from nudge_sync.planning.gate import Gate, HeldOutScores, check_gate

HELD_OUT_COUNTS = (20, 50, 100, 200)
MAX_LATER = 1000
"""Most queries that come later; more would only cost time."""
SETTINGS = GateSettings(min_queries=1)
_COLUMN = METRIC_NAMES.index("ndcg@10")


@dataclass(frozen=True)
class Outcome:
    """What the gate said of one split by some of the held-out queries, and what came true."""

    gate: Gate
    later_gain: float
    deviation: float
    """Standard deviation of the held-out gains."""
    moved: bool

    @property
    def is_covered(self) -> bool:
        return self.gate.interval[0] <= self.later_gain <= self.gate.interval[1]


@dataclass(frozen=True)
class Collection:
    """A set, its judgements query by query, and what each query scores with nothing moved."""

    data: Dataset
    judgements: list[dict[int, float]]
    baseline: Any

    @classmethod
    def load(cls, name: str, folder: Path | None) -> Collection:
        data = load_dataset(name, folder)
        documents, queries = unit_rows(data.documents), unit_rows(data.queries)
        judgements = [drop_zeros(one) for one in data.relevant(np.arange(len(queries)))]
        baseline = score_queries(documents, queries, judgements)[:, _COLUMN]
        return cls(Dataset(documents, queries, data.relevance), judgements, baseline)

    def score(self, documents: Any, rows: Any, judgements: list[dict[int, float]]) -> Any:
        """Return what the queries `rows` score, (rows,), judged by `judgements`, one entry each."""
        return score_queries(documents, self.data.queries[rows], judgements)[:, _COLUMN]

    def run_split(self, seed: int, choosing: int, method: str, *, shuffle: bool) -> list[Outcome]:
        """Return what the gate says by 20, 50, 100 and 200 held-out queries, if there are so many.

        shuffle: deal the judgements of the queries that choose and that are held out anew.
        """
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self.judgements))
        most = max(self.list_counts(choosing))
        logged, later = order[: choosing + most], order[choosing + most :][:MAX_LATER]
        source = rng.permutation(logged) if shuffle else logged
        judgements = [self.judgements[row] for row in source]
        cut = choosing // 8
        moved = finetune(
            self.data.documents,
            self.data.queries[logged[cut:choosing]],
            judgements[cut:choosing],
            self.data.queries[logged[:cut]],
            judgements[:cut],
            method,
        )
        before, after = (
            self.score(vectors, logged[choosing:], judgements[choosing:])
            for vectors in (self.data.documents, moved.documents)
        )
        gains = after - before
        truth = self.score(moved.documents, later, [self.judgements[row] for row in later])
        later_gain = float((truth - self.baseline[later]).mean())
        return [
            Outcome(
                ask_gate(gains[:count], moved.method, len(moved.moved)),
                later_gain,
                float(gains[:count].std(ddof=1)),
                bool(len(moved.moved)),
            )
            for count in self.list_counts(choosing)
        ]

    def list_counts(self, choosing: int) -> list[int]:
        """Return the numbers of held-out queries that leave as many to come later."""
        left = len(self.judgements) - choosing
        return [count for count in HELD_OUT_COUNTS if 2 * count <= left]


def ask_gate(gains: Any, method: str, moved: int) -> Gate:
    """Return the gate's decision on held-out gains over originals that are live, (q,)."""
    nothing = np.zeros(len(gains))
    scores = HeldOutScores(nothing, nothing, gains, np.zeros(len(gains), np.bool_))
    return check_gate(scores, SETTINGS, method=method, moved_count=moved, point_count=moved)


def print_set(name: str, given: argparse.Namespace) -> None:
    collection = Collection.load(name, given.data)
    choosing = min(given.choosing, len(collection.judgements) // 2)
    true, shuffled = (
        [
            collection.run_split(seed, choosing, given.method, shuffle=shuffle)
            for seed in range(given.splits)
        ]
        for shuffle in (False, True)
    )
    gain = 100 * np.mean([one[0].later_gain for one in true])
    print(
        f"\n{name}: {given.splits} splits, {choosing} queries choose, {given.method}; "
        f"later queries gain {gain:+.2f} points on average"
    )
    print(
        f"{'held out':>8} {'covered':>8} {'due':>6} {'refused':>8} {'shuffled':>9} {'smallest':>9} "
        f"{'deviation':>10}"
    )
    for column, count in enumerate(collection.list_counts(choosing)):
        later = len(collection.judgements) - choosing - max(collection.list_counts(choosing))
        later = min(later, MAX_LATER)
        outcomes = [one[column] for one in true]
        moving = [one for one in outcomes if one.moved]
        covered, refused, accepted = (
            np.mean(flags or [np.nan])
            for flags in (
                [one.is_covered for one in moving],
                [not one.gate.passed for one in outcomes if one.later_gain > 0],
                [one[column].gate.passed for one in shuffled],
            )
        )
        width = np.mean([one.gate.interval[1] - one.gate.interval[0] for one in moving])
        deviation = np.mean([one.deviation for one in moving])
        print(
            f"{count:8} {covered:8.1%} {due_coverage(count, later):6.1%} {refused:8.1%} "
            f"{accepted:9.1%} {50 * width:9.2f} {100 * deviation:10.1f}",
            flush=True,
        )


def due_coverage(held_out: int, later: int) -> float:
    """Return how often an exact 95 % interval covers the mean of so many later queries."""
    quantile = student.ppf((1 + SETTINGS.confidence) / 2, held_out - 1)
    return float(2 * student.cdf(quantile / np.sqrt(1 + held_out / later), held_out - 1) - 1)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--sets", default="cranfield,metatool,nfcorpus")
    options.add_argument("--data", type=Path)
    options.add_argument("--splits", type=int, default=200)
    options.add_argument("--choosing", type=int, default=400)
    options.add_argument("--method", default="nudge-n")
    given = options.parse_args()
    for name in given.sets.split(","):
        print_set(name, given)


if __name__ == "__main__":
    main()
