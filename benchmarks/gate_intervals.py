"""Which interval of a mean gain holds, of those that a gate could go by.

    python benchmarks/gate_intervals.py [--sets cranfield,metatool,nfcorpus,squad] [--splits 200]

On each split some queries move the documents, and all others are taken for the whole population:
what each gains is known, and so is their mean. 20, 50, 100 and 200 of them are then drawn, with
replacement and again and again, so that an exact interval of 95 % covers that mean in 95 % of the
draws, however few queries a set has. Splits on which nothing moves are left out. NDCG@10.

covered     of the draws, those whose interval holds the mean.
below       those whose interval lies above the mean: the gain is claimed to be larger than it is.
width       the mean width of the interval, in points.
accepted    those whose interval lies above zero.

student     mean +- t s / sqrt(n), what the gate goes by.
johnson     the same, moved by the third moment: Johnson, "Modified t tests and confidence intervals
            for asymmetrical populations" (JASA 1978).
hall        the monotone cubic transformation of t: Hall, "On the removal of skewness by
            transformation" (JRSS B 1992).
shrunken    Student's with s^2 = (sum of squares + 2 * 0.2^2) / (n + 1) and two more degrees of
            freedom: a prior worth two queries of the deviation that `check` assumes.
bootstrap-t, bca    Efron's, 499 resamples: DiCiccio and Efron, "Bootstrap confidence intervals"
            (Statistical Science 1996).
betting     the confidence sequence of `nudge_sync.experiment.evidence`, at its last look.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from common.cold_trial import drop_zeros, unit_rows
from common.solver_protocol import load_dataset
from scipy.special import ndtr, ndtri, stdtrit

from nudge_sync import finetune
from nudge_sync.evaluate.score import score_queries
from nudge_sync.experiment.evidence.sequential import compute_lower_bound, compute_upper_bound
from nudge_sync.metrics import METRIC_NAMES
from nudge_sync.planning.gate import TYPICAL_GAIN_DEVIATION, confidence_interval

HELD_OUT_COUNTS = (20, 50, 100, 200)
CONFIDENCE = 0.95
RESAMPLES = 499
PRIOR_QUERIES = 2
"""How many queries the prior of the variance counts for."""
COLUMN = METRIC_NAMES.index("ndcg@10")


def get_student(gains, _rng):
    return confidence_interval(gains, CONFIDENCE)


def get_johnson(gains, _rng):
    low, high = confidence_interval(gains, CONFIDENCE)
    variance = gains.var(ddof=1)
    if not variance:
        return low, high
    shift = ((gains - gains.mean()) ** 3).mean() / (6 * len(gains) * variance)
    return low + shift, high + shift


def get_hall(gains, _rng):
    count, deviation = len(gains), gains.std(ddof=1)
    if not deviation:
        return gains.mean(), gains.mean()
    error = deviation / np.sqrt(count)
    skew = ((gains - gains.mean()) ** 3).mean() / deviation**3 / np.sqrt(count)
    ends = np.array([1, -1]) * stdtrit(count - 1, (1 + CONFIDENCE) / 2)
    if abs(skew) > 1e-9:
        ends = 3 / skew * (np.cbrt(1 + skew * (ends - skew / 6)) - 1)
    return tuple(gains.mean() - error * ends)


def get_shrunken(gains, _rng):
    count = len(gains)
    squares = ((gains - gains.mean()) ** 2).sum() + PRIOR_QUERIES * TYPICAL_GAIN_DEVIATION**2
    freedom = count - 1 + PRIOR_QUERIES
    half = stdtrit(freedom, (1 + CONFIDENCE) / 2) * np.sqrt(squares / freedom / count)
    return gains.mean() - half, gains.mean() + half


def get_bootstrap_t(gains, rng):
    resamples = gains[rng.integers(0, len(gains), (RESAMPLES, len(gains)))]
    deviation = gains.std(ddof=1)
    # A resample of equal gains has no deviation of its own; a third of the sample's bounds it.
    deviations = np.maximum(resamples.std(axis=1, ddof=1), deviation / 3 + 1e-12)
    scores = (resamples.mean(axis=1) - gains.mean()) / deviations
    low, high = np.quantile(scores, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return gains.mean() - high * deviation, gains.mean() - low * deviation


def get_bca(gains, rng):
    means = gains[rng.integers(0, len(gains), (RESAMPLES, len(gains)))].mean(axis=1)
    below = (means < gains.mean()).sum() + (means == gains.mean()).sum() / 2
    bias = ndtri((below + 0.5) / (RESAMPLES + 1))
    residuals = gains - gains.mean()
    squares = (residuals**2).sum()
    acceleration = (residuals**3).sum() / (6 * squares**1.5) if squares else 0.0
    shifted = bias + np.array([-1, 1]) * ndtri((1 + CONFIDENCE) / 2)
    return tuple(np.quantile(means, ndtr(bias + shifted / (1 - acceleration * shifted))))


def get_betting(gains, _rng):
    alpha = (1 - CONFIDENCE) / 2
    return (
        compute_lower_bound(gains, -1.0, 1.0, alpha),
        compute_upper_bound(gains, -1.0, 1.0, alpha),
    )


INTERVALS = {
    "student": get_student,
    "johnson": get_johnson,
    "hall": get_hall,
    "shrunken": get_shrunken,
    "bootstrap-t": get_bootstrap_t,
    "bca": get_bca,
    "betting": get_betting,
}


def measure_populations(name, folder, method, splits, choosing):
    """Return on each split what every query gains that did not choose, and how many did."""
    data = load_dataset(name, folder)
    documents, queries = unit_rows(data.documents), unit_rows(data.queries)
    judgements = [drop_zeros(one) for one in data.relevant(np.arange(len(queries)))]
    baseline = score_queries(documents, queries, judgements)[:, COLUMN]
    choosing = min(choosing, len(queries) // 2)
    populations = []
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(queries))
        chosen, others = order[:choosing], order[choosing:]
        fit = finetune(
            documents, queries[chosen], [judgements[row] for row in chosen], method=method
        )
        if len(fit.moved):
            scores = score_queries(
                fit.documents, queries[others], [judgements[row] for row in others]
            )
            populations.append(scores[:, COLUMN] - baseline[others])
    return populations, choosing


def print_intervals(populations, draws):
    print(f"{'n':>4} {'interval':12} {'covered':>8} {'below':>7} {'width':>7} {'accepted':>9}")
    for count in HELD_OUT_COUNTS:
        for name, get_interval in INTERVALS.items():
            rng = np.random.default_rng(count)
            rows = []
            for population in populations:
                mean = population.mean()
                for _ in range(draws):
                    low, high = get_interval(
                        population[rng.integers(0, len(population), count)], rng
                    )
                    rows.append((low <= mean <= high, low > mean, high - low, low > 0))
            covered, below, width, accepted = np.mean(rows, axis=0)
            print(
                f"{count:4} {name:12} {covered:8.1%} {below:7.1%} {100 * width:7.1f} "
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
    options.add_argument("--draws", type=int, default=20)
    options.add_argument("--choosing", type=int, default=400)
    options.add_argument("--method", default="nudge-n")
    given = options.parse_args()
    for name in given.sets.split(","):
        populations, choosing = measure_populations(
            name, given.data, given.method, given.splits, given.choosing
        )
        values = np.concatenate(populations)
        centred = values - values.mean()
        print(
            f"\n{name}: {len(populations)} of {given.splits} splits move, {choosing} queries "
            f"choose, {given.method}; gain {100 * values.mean():+.2f} points, deviation "
            f"{100 * values.std():.1f}, skewness {(centred**3).mean() / values.std() ** 3:.1f}, "
            f"{(values == 0).mean():.0%} zero"
        )
        print_intervals(populations, given.draws)


if __name__ == "__main__":
    main()
