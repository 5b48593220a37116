"""How far the gate's interval can be trusted: coverage, false accepts, false refusals.

    python benchmarks/calibration.py [--sets cranfield,metatool,nfcorpus,squad] [--splits 200]
        [--logs 50,100,150,250,500] [--method nudge-n] [--cold-share 0.5]
    python benchmarks/calibration.py --intervals [--sets ...] [--splits 200] [--draws 20]
    python benchmarks/calibration.py --repeated [--draws 4000]

Each split draws a log of queries, and all others (1,000 at most) come later. The log falls into
five fifths; a method chooses its settings and moves documents by four of them. The gate
(`nudge_sync.planning.gate`, as `plan` asks it) decides by the fifth alone that chose nothing ("a
fifth"), and by all fifths held out in turn ("in turn"), as `plan` does with fewer queries than
gate.min_queries (--least) in the first; "pooled" is that without widening the interval for what the
fifths share. What comes true is the mean gain of the later queries with the vectors that the first
fifth chose nothing of, which are the ones that would be written. NDCG@10, in points.

gain        what comes true, mean of the splits.
queries     the mean number that the gate goes by: only fifths count without which documents move.
decided     of the splits, those in which documents move, and with fifths in turn there are
            gate.min_queries queries. That is left out of account for the fifth alone, where it asks
            for 250 queries: the table shows what it could do with fewer.
covered     of these, the splits whose gain that comes true lies in the 95 % interval, widened by
            the error of the later queries' own mean (the root of the sum of squares), so that an
            exact interval covers 95 %.
above       of these, the splits whose widened interval lies above what comes true.
refused     of the splits whose vectors gain on later queries: those that the gate refuses.
harmed      what later queries lose by accepted vectors that lose, mean of all splits.
shuffled    splits accepted with the judgements of the log dealt out anew: what is then learned,
            such as which documents are popular, answers no query.
width       half the interval's width: a smaller mean gain cannot be shown by so many queries.

With --intervals it asks which interval holds, of those in `common/mean_intervals.py`. On each split
400 queries move the documents (half of them in a smaller set), and all others are taken for the
whole population: what each gains is known, and so is their mean. 20, 50, 100 and 200 are drawn with
replacement, so that an exact interval covers that mean in 95 % of the draws, however few queries a
set has. Splits on which nothing moves are left out. accepted: intervals that lie above zero.

With --repeated it asks what the gate's interval does where some questions are asked far more often
than others. What a question gains is normally distributed with a deviation of 20 points, and each
of its searches gains the same. Printed are the draws whose interval lies above zero, in %:
nothing: of plans that gain nothing (2.5 are meant).  calm: the same, where questions that are asked
once have a deviation of 2 points.  gain: of plans that gain 10 points.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common.cold_trial import drop_zeros, unit_rows
from common.mean_intervals import INTERVALS, print_repeated_questions
from common.solver_protocol import Dataset, load_dataset

from nudge_sync import Fit, finetune
from nudge_sync.config import GateSettings
from nudge_sync.evaluate.score import score_queries
from nudge_sync.metrics import METRIC_NAMES
from nudge_sync.planning.fifths import FIFTH_COUNT
from nudge_sync.planning.gate import CrossFittedGains, Gate, HeldOutScores, check_gate

MAX_LATER = 1000
"""Most queries that come later; more would only cost time."""
NORMAL_QUANTILE = 1.96
MAX_CHOOSING = 400
DRAWN_COUNTS = (20, 50, 100, 200)
GATES = ("a fifth", "in turn", "pooled")
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
    ) -> list[Outcome]:
        """Return what each of `GATES` says; for a large log, the first alone.

        size: of the log.  shuffle: deal the judgements of the log out anew.
        """
        rng = np.random.default_rng([seed, size])
        order = rng.permutation(len(self.judgements))
        log, later = order[:size], order[size:][:MAX_LATER]
        source = rng.permutation(log) if shuffle else log
        in_turn = size <= FIFTH_COUNT * given.least
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
        gates = [ask_gate(fifths[:1], 1)]
        if in_turn:
            gates += [ask_gate(fifths, given.least, pooled=pooled) for pooled in (False, True)]
        moved = bool(len(fifths[0].fit.moved))
        return [Outcome(gate, moved, float(later_gains.mean()), float(error)) for gate in gates]

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


def ask_gate(fifths: list[Fifth], least: int, *, pooled: bool = False) -> Gate:
    """Return the gate's decision on a plan that nothing is live of yet.

    fifths: the first is that of the plan.  least: `gate.min_queries`.  pooled: take the queries of
    all fifths for independent, as those of one fifth are.
    """
    first = fifths[0]
    nothing = np.zeros(len(first.gains))
    nobody = np.zeros(len(first.gains), np.bool_)
    telling = [one.gains for one in fifths if len(one.fit.moved)]
    cross_fitted = None
    if len(first.fit.moved) and len(telling) > 1:
        gains = np.concatenate(telling)
        nobody_else = np.zeros(len(gains), np.bool_)
        fifth_count = 1 if pooled else len(telling)
        cross_fitted = CrossFittedGains(gains, np.arange(len(gains)), nobody_else, fifth_count)
    return check_gate(
        HeldOutScores(np.arange(len(first.gains)), nothing, nothing, first.gains, nobody),
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
    for column, name in enumerate(GATES[: len(true[0])]):
        outcomes = [one[column] for one in true]
        least = given.least if column else 1
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


def measure_populations(collection: Collection, given: argparse.Namespace) -> list[Any]:
    """Return for each split on which documents move what every query gains that did not choose."""
    count = len(collection.judgements)
    choosing = min(MAX_CHOOSING, count // 2)
    populations = []
    for seed in range(given.splits):
        order = np.random.default_rng(seed).permutation(count)
        chosen, others = order[:choosing], order[choosing:]
        fit = finetune(
            collection.data.documents,
            collection.data.queries[chosen],
            [collection.judgements[row] for row in chosen],
            method=given.method,
            cold_share=given.cold_share,
        )
        if len(fit.moved):
            judgements = [collection.judgements[row] for row in others]
            scores = collection.score(fit.documents, others, judgements)
            populations.append(scores - collection.baseline[others])
    return populations


def print_intervals(name: str, given: argparse.Namespace) -> None:
    """Print how often each interval holds the mean of a population, by the number of queries."""
    populations = measure_populations(Collection.load(name, given.data), given)
    values = np.concatenate(populations)
    skewness = ((values - values.mean()) ** 3).mean() / values.std() ** 3
    print(
        f"\n{name}: {len(populations)} of {given.splits} splits move, {given.method}; gain "
        f"{100 * values.mean():+.2f} points, deviation {100 * values.std():.1f}, skewness "
        f"{skewness:.1f}, {(values == 0).mean():.0%} zero"
    )
    print(f"{'n':>4} {'interval':12} {'covered':>8} {'above':>7} {'width':>7} {'accepted':>9}")
    for count in DRAWN_COUNTS:
        for interval, compute in INTERVALS.items():
            rng, rows = np.random.default_rng(count), []
            for population in populations:
                for _ in range(given.draws):
                    gains = population[rng.integers(0, len(population), count)]
                    low, high = compute(gains, rng)
                    mean = population.mean()
                    rows.append((low <= mean <= high, low > mean, (high - low) / 2, low > 0))
            covered, above, width, accepted = np.mean(rows, axis=0)
            print(
                f"{count:4} {interval:12} {covered:8.1%} {above:7.1%} {100 * width:7.1f} "
                f"{accepted:9.1%}",
                flush=True,
            )


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
    options.add_argument("--intervals", action="store_true")
    options.add_argument("--repeated", action="store_true")
    options.add_argument("--draws", type=int)
    given = options.parse_args()
    if given.repeated:
        print_repeated_questions(given.draws or 4000)
        return
    given.draws = given.draws or 20
    for name in given.sets.split(","):
        (print_intervals if given.intervals else print_set)(name, given)


if __name__ == "__main__":
    main()
