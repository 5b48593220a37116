"""How far the gate's interval can be trusted: coverage, false accepts, false refusals.

    python benchmarks/calibration.py [--sets cranfield,metatool,nfcorpus,squad] [--splits 200]
        [--logs 50,100,250,500] [--method nudge-n] [--cold-share 0.5]

Each split draws a log of queries, and all others (1,000 at most) come later. The log falls into five
fifths; a method chooses its settings and moves documents by four of them. The gate
(`nudge_sync.planning.gate`, as `plan` asks it) decides in two ways: by the fifth alone that chose
nothing, and by all fifths held out in turn, as `plan` does with fewer than 100 queries in the
fifth. What comes true is the mean gain of the later queries with the vectors that the first fifth
chose nothing of, which are the ones that would be written. NDCG@10, in points.

queries     the mean number that the gate goes by: only fifths count whose choice moves documents.
decided     of the splits, those in which documents move and there are --least queries at least.
covered     of these, the splits whose gain that comes true lies in the 95 % interval, widened by the
            error of the later queries' own mean (the root of the sum of squares), so that an exact
            interval covers 95 %.
above       of these, the splits whose widened interval lies above what comes true.
refused     of the splits whose vectors gain on later queries: those that the gate refuses.
harmed      points that later queries lose on average by what is accepted, all splits taken together.
shuffled    splits accepted with the judgements of the log dealt out anew: what is then learned, such
            as which documents are popular, answers no query.
width       half the interval's width: a smaller mean gain cannot be shown by so many queries.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common.cold_trial import drop_zeros, unit_rows
from common.solver_protocol import Dataset, load_dataset

from nudge_sync import Fit, finetune
from nudge_sync.config import GateSettings
from nudge_sync.evaluate.score import score_queries
from nudge_sync.metrics import METRIC_NAMES
from nudge_sync.planning.gate import CrossFittedGains, Gate, HeldOutScores, check_gate
from nudge_sync.planning.query_split import FIFTH_COUNT, MIN_HELD_OUT

MAX_LATER = 1000
"""Most queries that come later; more would only cost time."""
NORMAL_QUANTILE = 1.96
_COLUMN = METRIC_NAMES.index("ndcg@10")


@dataclass(frozen=True)
class Fifth:
    """What the queries of one fifth gain by the vectors that the others chose."""

    fit: Fit
    gains: Any


@dataclass(frozen=True)
class Outcome:
    """What one gate said of one split, and what came true."""

    gate: Gate
    moved: bool
    later_gain: float
    later_error: float

    @property
    def half_width(self) -> float:
        return (self.gate.interval[1] - self.gate.interval[0]) / 2

    @property
    def excess(self) -> float:
        """The gain that was shown less the one that came true, in widened half widths."""
        widened = np.hypot(self.half_width, NORMAL_QUANTILE * self.later_error)
        return float((sum(self.gate.interval) / 2 - self.later_gain) / max(widened, 1e-12))


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

    def run_split(
        self, seed: int, size: int, given: argparse.Namespace, *, shuffle: bool
    ) -> tuple[Outcome, Outcome]:
        """Return what the gate says by the first fifth, and by all of them held out in turn.

        size: of the log.  shuffle: deal the judgements of the log out anew.
        """
        rng = np.random.default_rng([seed, size])
        order = rng.permutation(len(self.judgements))
        log, later = order[:size], order[size:][:MAX_LATER]
        source = rng.permutation(log) if shuffle else log
        in_turn = size < FIFTH_COUNT * MIN_HELD_OUT
        fifths = [
            self.solve_fifth(log, source, fifth, given)
            for fifth in range(FIFTH_COUNT if in_turn else 1)
        ]
        later_gains = np.zeros(len(later))
        if len(fifths[0].fit.moved) and not shuffle:
            judgements = [self.judgements[row] for row in later]
            later_gains = self.score(fifths[0].fit.documents, later, judgements)
            later_gains = later_gains - self.baseline[later]
        error = later_gains.std(ddof=1) / np.sqrt(len(later_gains))
        alone, all_of_them = (
            Outcome(
                ask_gate(fifths[:count], least),
                bool(len(fifths[0].fit.moved)),
                float(later_gains.mean()),
                float(error),
            )
            for count, least in ((1, 1), (FIFTH_COUNT, given.least))
        )
        return alone, all_of_them

    def solve_fifth(self, log: Any, source: Any, fifth: int, given: argparse.Namespace) -> Fifth:
        """Fit by the other fifths of a log, and measure on this one.

        source: (size,), whose judgements each query of the log has.
        """
        is_held_out = np.arange(len(log)) % FIFTH_COUNT == fifth
        judgements = [self.judgements[row] for row in source]
        train, held_out = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
        fit = finetune(
            self.data.documents,
            self.data.queries[log[train]],
            [judgements[row] for row in train],
            method=given.method,
            cold_share=given.cold_share,
        )
        own = [judgements[row] for row in held_out]
        before, after = (
            self.score(vectors, log[held_out], own)
            for vectors in (self.data.documents, fit.documents)
        )
        return Fifth(fit, after - before)


def ask_gate(fifths: list[Fifth], least: int) -> Gate:
    """Return the gate's decision on a plan that nothing is live of yet.

    fifths: the first is that of the plan.  least: `gate.min_queries`.
    """
    first = fifths[0]
    nothing = np.zeros(len(first.gains))
    nobody = np.zeros(len(first.gains), np.bool_)
    telling = [one.gains for one in fifths if len(one.fit.moved)]
    cross_fitted = None
    if len(first.fit.moved) and len(telling) > 1:
        gains = np.concatenate(telling)
        cross_fitted = CrossFittedGains(gains, np.zeros(len(gains), np.bool_), len(telling))
    return check_gate(
        HeldOutScores(nothing, nothing, first.gains, nobody),
        GateSettings(min_queries=least),
        method=first.fit.method if len(first.fit.moved) else "nothing",
        moved_count=len(first.fit.moved),
        point_count=len(first.fit.original),
        cross_fitted=cross_fitted,
    )


def print_log(collection: Collection, size: int, given: argparse.Namespace) -> None:
    """Print both gates for logs of one size."""
    true, shuffled = (
        [collection.run_split(seed, size, given, shuffle=shuffle) for seed in range(given.splits)]
        for shuffle in (False, True)
    )
    gates = ("a fifth", "in turn") if size < FIFTH_COUNT * MIN_HELD_OUT else ("a fifth",)
    for column, name in enumerate(gates):
        outcomes = [one[column] for one in true]
        least = (1, given.least)[column]
        decided = [one for one in outcomes if one.moved and one.gate.queries >= least]
        queries, covered, above, refused, accepted, width = (
            np.mean(values or [np.nan])
            for values in (
                [one.gate.queries for one in decided],
                [abs(one.excess) <= 1 for one in decided],
                [one.excess > 1 for one in decided],
                [not one.gate.passed for one in outcomes if one.later_gain > 0],
                [one[column].gate.passed for one in shuffled],
                [one.half_width for one in decided],
            )
        )
        harm = sum(min(one.later_gain, 0.0) for one in outcomes if one.gate.passed) / len(outcomes)
        gain = np.mean([one.later_gain for one in outcomes])
        print(
            f"{size:5} {name:8} {100 * gain:+7.2f} {queries:8.0f} {len(decided) / len(true):8.1%} "
            f"{covered:8.1%} {above:6.1%} {refused:8.1%} {100 * harm:7.3f} {accepted:9.1%} "
            f"{100 * width:6.2f}",
            flush=True,
        )


def print_set(name: str, given: argparse.Namespace) -> None:
    collection = Collection.load(name, given.data)
    cold = "" if given.cold_share is None else f", cold share {given.cold_share:g}"
    print(f"\n{name}: {given.splits} splits, {given.method}{cold}")
    print(
        f"{'log':>5} {'gate':8} {'gain':>7} {'queries':>8} {'decided':>8} {'covered':>8} "
        f"{'above':>6} {'refused':>8} {'harmed':>7} {'shuffled':>9} {'width':>6}",
        flush=True,
    )
    for size in (int(one) for one in given.logs.split(",")):
        if size <= 2 * len(collection.judgements) / 3:
            print_log(collection, size, given)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--sets", default="cranfield,metatool,nfcorpus,squad")
    options.add_argument("--data", type=Path)
    options.add_argument("--splits", type=int, default=200)
    options.add_argument("--logs", default="50,100,150,250,500")
    options.add_argument("--method", default="nudge-n")
    options.add_argument("--cold-share", type=float)
    options.add_argument("--least", type=int, default=GateSettings().min_queries)
    given = options.parse_args()
    for name in given.sets.split(","):
        print_set(name, given)


if __name__ == "__main__":
    main()
