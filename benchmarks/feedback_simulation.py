"""Clicks simulated on real judgements: how much of what clean judgements would gain is kept.

python benchmarks/feedback_simulation.py [--seeds 5] [--first-seed 0] [--case plain,few,...]

The plain ranking's top 20 is shown for each training and validation query; rank r is examined with
probability 1 / r^examination_decay; an examined document is clicked with 0.9 if it is relevant and
with `irrelevant_click_rate` if not. Vandals (a share of sessions, each a client of its own) click
five documents for every query, shown or not. The ceiling learns from the true judgements of what
was shown, and "found" from those of what was clicked: no click model could know more. "told" is the
product, told how these people look and click, which it would else have to learn: nan where its
click model has no such people. NUDGE-N throughout, its angle chosen on the validation queries by
what each method believes about them, for "found" by the ceiling's judgements; NDCG@10 on test
queries by the true judgements. "places lost" is the mean change of rank of the promoted documents
on test queries that they do not answer, "least" that of the one that gained most: below 0 is a
gain. "asked" is the NDCG@10 of all searches of the log, "asked again" what they would find now;
queries that are asked often weigh as much more. "believed" is how many judgements come out, and
"right" how many in a hundred of them are true.

noise      a relevant document is clicked like any other.
explore    the application shows at rank 10, in every search, one of the ranks 21 to 60 instead:
           these count for the ceiling too, and "shown" tells what that costs those who search.
shuffled   the application shows the 20 documents in random order, and `bias = "ipw"`; with -logged
           it logs as propensity how likely each document was to be examined, which is the mean
           over the 20 ranks; with -pbm `bias = "pbm"`, which needs none.
zipf       the query of popularity rank r is asked in proportion to 1 / r, with few searches in all
           (-few), or with every query counting alike (-alike).
cascade, dcm, trust
           people who do not behave as the product's click model says: see `click_behaviours.py`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from common.simulated_feedback import (
    CASES,
    DEPTH,
    SETS,
    Case,
    Corpus,
    Grades,
    build_true_model,
    load_corpus,
    simulate_clicks,
    tell,
)

from nudge_sync.feedback.clicks.bias.click_model import ClickModel
from nudge_sync.feedback.judgements import Judgements, build_judgements
from nudge_sync.feedback.log.columns import Log
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.tuning.finetune import finetune

RESAMPLES = 2000
"""Of the seeds, for the interval of what is kept."""


def count_clicks(log: Log, queries: int) -> Grades:
    """Return the raw clicks on each document for each query."""
    grades: Grades = [{} for _ in range(queries)]
    rows = log.searches.vector_row[log.behaviour.search].tolist()
    for row, point in zip(rows, log.behaviour.point.tolist(), strict=True):
        grades[row][point] = grades[row].get(point, 0.0) + 1.0
    return grades


def to_grades(judgements: Judgements, queries: int) -> tuple[Grades, Grades]:
    """Return the weights and the expected gains of the judgements."""
    weights: Grades = [{} for _ in range(queries)]
    expected_gains: Grades = [{} for _ in range(queries)]
    rows = [int(name.split()[0]) for name in judgements.query_ids]
    for query_row, point, weight in zip(
        judgements.query_rows, judgements.point_ids, judgements.weights, strict=True
    ):
        weights[rows[query_row]][int(point)] = float(weight)
    expected = judgements.expected_gains
    for query_row, point, gain in zip(
        expected.query_rows, expected.point_ids, expected.gains, strict=True
    ):
        expected_gains[rows[query_row]][int(point)] = float(gain)
    return weights, expected_gains


@dataclass(frozen=True)
class Trial:
    """A corpus, its queries split into rows of three sets, and the method that learns."""

    corpus: Corpus
    train: Any
    validation: Any
    test: Any
    method: str

    def score(self, documents: Any) -> float:
        """Return the mean NDCG@10 of the test queries by the true judgements."""
        return float(np.mean(self._score_queries(documents, self.test)))

    def score_searches(self, documents: Any, log: Log) -> float:
        """Return the mean NDCG@10 over the searches of the log, were they asked again."""
        queries, counts = np.unique(log.searches.vector_row, return_counts=True)
        return float(np.average(self._score_queries(documents, queries), weights=counts))

    def _score_queries(self, documents: Any, queries: Any) -> list[float]:
        """Return the NDCG@10 of each of the queries, by the true judgements."""
        k = 10
        scores = self.corpus.queries[queries] @ documents.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        discount = 1 / np.log2(np.arange(2, k + 2))
        values = []
        for row, query in enumerate(queries):
            grades = self.corpus.relevant[query]
            got = np.array([grades.get(int(d), 0.0) for d in best[row]])
            ideal = np.sort(list(grades.values()))[::-1][:k]
            values.append(float(got @ discount / (ideal @ discount[: len(ideal)])))
        return values

    def finetune_documents(
        self, weights: Grades, expected_gains: Grades, *, use_weights: bool = True
    ) -> Any:
        """Return the documents finetuned to the weights, validated by the expected gains."""
        rows = self.corpus.queries
        train = [weights[row] for row in self.train]
        return finetune(
            self.corpus.documents,
            rows[self.train],
            train,
            rows[self.validation],
            [expected_gains[row] for row in self.validation],
            method=self.method,
            train_weights=train if use_weights else None,
        ).documents


def measure_rank_changes(trial: Trial, documents: Any, promoted: Any) -> list[float]:
    """Return the mean change of rank of each promoted document on queries it does not answer."""
    queries = trial.corpus.queries[trial.test]
    before, after = queries @ trial.corpus.documents.T, queries @ documents.T
    changes = []
    for document in promoted.tolist():
        rank = (after > after[:, [document]]).sum(1) - (before > before[:, [document]]).sum(1)
        wrong = [document not in trial.corpus.relevant[query] for query in trial.test]
        changes.append(float(rank[wrong].mean()))
    return changes


def make_trial(name: str, seed: int, method: str) -> Trial:
    """Return a trial with a random split: 70 % training, 10 % validation, 20 % test queries."""
    corpus = load_corpus(name)
    order = np.random.default_rng(seed).permutation(len(corpus.queries))
    low, high = int(0.7 * len(order)), int(0.8 * len(order))
    return Trial(corpus, order[:low], order[low:high], order[high:], method)


@cache
def measure_bounds(name: str, seed: int, method: str) -> dict[str, float]:
    """Return the scores that no feedback can change: nothing learned, ceiling, all judgements."""
    trial = make_trial(name, seed, method)
    corpus = trial.corpus
    return {
        "nothing": trial.score(corpus.documents),
        "ceiling": measure_ceiling(trial, corpus.ranking[:, :DEPTH]),
        "all": trial.score(
            trial.finetune_documents(corpus.relevant, corpus.relevant, use_weights=False)
        ),
    }


def measure_ceiling(trial: Trial, shown: Any) -> float:
    """Return the score that the true judgements of the documents shown for each query give."""
    clean = select_judgements(trial.corpus, shown)
    return trial.score(trial.finetune_documents(clean, clean, use_weights=False))


def measure_told(
    trial: Trial, log: Log, settings: FeedbackSettings, true_model: ClickModel
) -> float:
    """Return the score of a product that is told the click model."""
    with tell(true_model):
        judgements = build_judgements(log, settings)
    return trial.score(trial.finetune_documents(*to_grades(judgements, len(trial.corpus.queries))))


def measure_found(trial: Trial, clicked: Any) -> float:
    """Return the score that the true judgements of the documents clicked for each query give."""
    found = select_judgements(trial.corpus, clicked)
    clean = select_judgements(trial.corpus, trial.corpus.ranking[:, :DEPTH])
    return trial.score(trial.finetune_documents(found, clean, use_weights=False))


def select_judgements(corpus: Corpus, documents: Any) -> Grades:
    """Return the true judgements of these documents, an iterable for each query."""
    return [
        {int(d): grades[int(d)] for d in row if int(d) in grades}
        for grades, row in zip(corpus.relevant, documents, strict=True)
    ]


def score_shown_lists(corpus: Corpus, log: Log) -> float:
    """Return the NDCG@10 of the lists that were shown, every judgement taken for relevant."""
    k = 10
    query = log.searches.vector_row
    is_relevant = corpus.is_relevant(query, log.searches.shown.reshape(-1, DEPTH)[:, :k])
    discount = 1 / np.log2(np.arange(2, k + 2))
    answers = np.array([min(len(grades), k) for grades in corpus.relevant])[query]
    return float(np.mean((is_relevant @ discount / np.cumsum(discount)[answers - 1])[answers > 0]))


def list_shown_documents(corpus: Corpus, log: Log) -> list[set[int]]:
    """Return the documents that were shown at least once for each query."""
    shown_documents: list[set[int]] = [set() for _ in corpus.relevant]
    for query, row in zip(
        log.searches.vector_row.tolist(), log.searches.shown.reshape(-1, DEPTH), strict=True
    ):
        shown_documents[query].update(row.tolist())
    return shown_documents


def measure_precision(corpus: Corpus, weights: Grades) -> float:
    """Return the share of the judged documents that answer their query."""
    judged = sum(map(len, weights))
    pairs = zip(weights, corpus.relevant, strict=True)
    return sum(len(mine.keys() & true.keys()) for mine, true in pairs) / max(judged, 1)


def run_trial(name: str, case: Case, seed: int, method: str) -> dict[str, float]:
    """Return the scores of one trial, in percent, by the name of their column."""
    trial = make_trial(name, seed, method)
    corpus = trial.corpus
    query_rows = np.sort(np.concatenate([trial.train, trial.validation]))
    log, promoted = simulate_clicks(corpus, query_rows, case, np.random.default_rng(seed + 100))
    settings = FeedbackSettings(bias=case.bias, traffic_exponent=case.traffic_exponent)
    judgements = build_judgements(log, settings)
    weights, expected_gains = to_grades(judgements, len(corpus.queries))
    true_model = build_true_model(corpus, case)
    click_counts = count_clicks(log, len(corpus.queries))
    mine = trial.finetune_documents(weights, expected_gains)
    result = measure_bounds(name, seed, method) | {
        "raw": trial.score(trial.finetune_documents(click_counts, click_counts)),
        "pipeline": trial.score(mine),
        "told": np.nan if true_model is None else measure_told(trial, log, settings, true_model),
        "found": measure_found(trial, click_counts),
        "shown": score_shown_lists(corpus, log),
        "asked": trial.score_searches(corpus.documents, log),
        "asked again": trial.score_searches(mine, log),
        "right": measure_precision(corpus, weights),
    }
    if case.explore:
        result["ceiling"] = measure_ceiling(trial, list_shown_documents(corpus, log))
    rank_changes = measure_rank_changes(trial, mine, promoted)
    return {key: 100 * value for key, value in result.items()} | {
        "places lost": float(np.mean(rank_changes)),
        "least": min(rank_changes),
        "believed": float(len(judgements)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--case", default="plain,vandals,steep,few")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--method", default="nudge-n")
    args = parser.parse_args()
    columns = (
        "nothing",
        "raw",
        "pipeline",
        "told",
        "found",
        "ceiling",
        "all",
        "shown",
        "asked",
        "asked again",
        "places lost",
        "least",
        "believed",
        "right",
    )
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    for case in args.case.split(","):
        print(f"\n{case}: {CASES[case]}, {args.method}, {seeds}", flush=True)
        print(f"{'':18}" + "".join(f"{column:>13}" for column in columns) + f"{'of ceiling':>13}")
        runs_by_set = []
        for name in args.sets.split(","):
            runs = [run_trial(name, CASES[case], seed, args.method) for seed in seeds]
            runs_by_set.append(runs)
            mean = {column: float(np.mean([run[column] for run in runs])) for column in columns}
            mean["least"] = min(run["least"] for run in runs)
            cells = "".join(f"{mean[column]:13.2f}" for column in columns)
            print(f"{name:18}{cells}{measure_share([runs], 'pipeline'):13.1%}", flush=True)
        print_shares(runs_by_set)


def print_shares(runs_by_set: list[list[dict[str, float]]]) -> None:
    """Print which part of the ceiling's gain is kept, in the mean of the sets."""
    rng, count = np.random.default_rng(0), len(runs_by_set[0])
    resampled = [
        measure_share([[runs[seed] for seed in seeds] for runs in runs_by_set], "pipeline")
        for seeds in rng.integers(0, count, (RESAMPLES, count)).tolist()
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    share, told, found = (
        measure_share(runs_by_set, column) for column in ("pipeline", "told", "found")
    )
    print(
        f"mean of ceiling: {share:.1%} ({low:.1%} to {high:.1%} over {count} seeds), "
        f"told {told:.1%}, found {found:.1%}",
        flush=True,
    )


def measure_share(runs_by_set: list[list[dict[str, float]]], column: str) -> float:
    """Return which part of the ceiling's gain a column keeps, in the mean of the sets."""
    shares = []
    for runs in runs_by_set:
        nothing, kept, ceiling = (
            np.mean([run[name] for run in runs]) for name in ("nothing", column, "ceiling")
        )
        shares.append((kept - nothing) / (ceiling - nothing))
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
