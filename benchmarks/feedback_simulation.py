"""Clicks simulated on real judgements: how much of what clean judgements would gain is kept.

python benchmarks/feedback_simulation.py [--seeds 5] [--first-seed 0] [--case plain,few,...]

The plain ranking's top 20 is shown for each training and validation query; place r is looked at
with probability 1 / r^eta; a relevant document looked at is clicked with 0.9, another with `noise`.
Vandals (a share of sessions, each a client of its own) click five documents for every query,
shown or not. The ceiling learns from the true judgements of what was shown. NUDGE-N throughout,
its angle chosen on the validation queries by what each method believes about them; NDCG@10 on
test queries by the true judgements. Of the pushed documents their change of rank on test queries
that they do not answer is printed, mean of all and of the one that gained most: below 0 is a gain.
In the case `noise` a relevant document is clicked like any other. In `explore` the application
shows at place 10, in every search, one of the ranks 21 to 60 instead: what is shown there then
counts for the ceiling too, and "shown" tells what the exploration costs those who search.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from nudge_sync.config import FeedbackSettings
from nudge_sync.feedback.judgements import Judgements, build_judgements
from nudge_sync.feedback.log.columns import Actions, Log, Searches
from nudge_sync.tuning.finetune import finetune

SHARED = Path(os.environ.get("NUDGE_SYNC_SHARED", Path(__file__).parents[2] / "shared")) / "data"
SETS = ("metatool-minilm", "nfcorpus-minilm")
DEPTH, EXPLORATION_DEPTH, PROMOTED_DOCUMENTS, RELEVANT_CLICK_RATE = 20, 60, 5, 0.9
EXPLORED_INDEX = 9
"""The place, from 0, that exploration takes."""


@dataclass(frozen=True)
class Case:
    examination_decay: float = 1.0
    sessions: int = 30
    irrelevant_click_rate: float = 0.1
    vandals: float = 0.05
    forged: bool = False
    """Vandals log the documents they push as if they had been shown on top."""
    relevant_click_rate: float = RELEVANT_CLICK_RATE
    explore: bool = False


CASES = {
    "plain": Case(),
    "clean": Case(vandals=0.0),
    "vandals": Case(vandals=0.2),
    "forged": Case(vandals=0.2, forged=True),
    "steep": Case(examination_decay=2.0, sessions=50),
    "flat": Case(examination_decay=0.0),
    "few": Case(sessions=10),
    "one": Case(sessions=1),
    "noisy": Case(irrelevant_click_rate=0.15),
    "noise": Case(relevant_click_rate=0.1),
    "explore": Case(explore=True),
    "explore-long": Case(explore=True, sessions=300),
    "long": Case(sessions=300),
}
Grades = list[dict[int, float]]


@dataclass(frozen=True, eq=False)
class Corpus:
    documents: Any
    queries: Any
    relevant: Grades
    ranking: Any
    """(q, DEEPER): the plain ranking."""

    def is_relevant(self, query: Any, shown: Any) -> Any:
        """Whether the documents `shown`, (s, k), answer each `query`, (s,)."""
        size = len(self.documents)
        pairs = [row * size + d for row, grades in enumerate(self.relevant) for d in grades]
        return np.isin(query[:, None].astype(np.int64) * size + shown, pairs)


@cache
def load_corpus(name: str) -> Corpus:
    folder = SHARED / name
    documents, queries = np.load(folder / "documents.npy"), np.load(folder / "queries.npy")
    document_rows = {
        id_: row for row, id_ in enumerate((folder / "documents.txt").read_text().split())
    }
    query_rows = {id_: row for row, id_ in enumerate((folder / "queries.txt").read_text().split())}
    relevant: Grades = [{} for _ in query_rows]
    for line in (folder / "qrels.tsv").read_text().splitlines():
        query, document, grade = line.split("\t")
        relevant[query_rows[query]][document_rows[document]] = float(grade)
    top = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :EXPLORATION_DEPTH]
    return Corpus(documents, queries, relevant, top)


def simulate_clicks(corpus: Corpus, query_rows: Any, case: Case, rng: Any) -> tuple[Log, Any]:
    promoted = rng.choice(
        np.unique(corpus.ranking[query_rows, :DEPTH]), PROMOTED_DOCUMENTS, replace=False
    )
    query = np.repeat(query_rows, case.sessions)
    shown = corpus.ranking[query, :DEPTH].astype(np.int32)
    vandal = rng.random(len(query)) < case.vandals
    if case.explore:
        shown[:, EXPLORED_INDEX] = corpus.ranking[
            query, rng.integers(DEPTH, EXPLORATION_DEPTH, len(query))
        ]
    chance = np.where(
        corpus.is_relevant(query, shown), case.relevant_click_rate, case.irrelevant_click_rate
    )
    chance = chance / np.arange(1, DEPTH + 1) ** case.examination_decay
    clicked = (rng.random(chance.shape) < chance) & ~vandal[:, None]
    if case.forged:
        for row in np.flatnonzero(vandal):
            rest = [d for d in shown[row] if d not in promoted]
            shown[row] = [*promoted, *rest][:DEPTH]
    row, rank_index = np.nonzero(clicked)
    search = np.concatenate([row, np.repeat(np.flatnonzero(vandal), PROMOTED_DOCUMENTS)])
    point = np.concatenate([shown[row, rank_index], np.tile(promoted, int(vandal.sum()))])
    return _build_log(
        corpus, query_rows, case, query, shown=shown, search=search, point=point
    ), promoted


def _build_log(
    corpus: Corpus, query_rows: Any, case: Case, query: Any, *, shown: Any, search: Any, point: Any
) -> Log:
    count = len(query)
    people_codes = np.arange(1, count + 1, dtype=np.int32)
    searches = Searches(
        query_ids=[f"{q:06d} {s:03d}" for q in query_rows for s in range(case.sessions)],
        vector_row=query.astype(np.int32),
        time=np.zeros(count),
        session=people_codes,
        client=people_codes,
        shown_starts=np.arange(count + 1, dtype=np.int64) * DEPTH,
        shown=shown.ravel(),
    )
    order = np.lexsort((point, search))
    zeros = np.zeros(len(order), np.int32)
    clicks = Actions(
        search=search[order].astype(np.int32),
        point=point[order].astype(np.int32),
        weight=np.ones(len(order)),
        rank=zeros,
        time=np.zeros(len(order)),
        session=zeros,
        client=zeros,
    )
    people = ["", *(f"{number:08d}" for number in range(count))]
    no_labels = clicks.select(np.zeros(0, np.int64))
    points: list[Any] = list(range(len(corpus.documents)))
    return Log(searches, no_labels, clicks, points, people, people, corpus.queries, {}, 0)


def count_clicks(log: Log, queries: int) -> Grades:
    grades: Grades = [{} for _ in range(queries)]
    rows = log.searches.vector_row[log.behaviour.search].tolist()
    for row, point in zip(rows, log.behaviour.point.tolist(), strict=True):
        grades[row][point] = grades[row].get(point, 0.0) + 1.0
    return grades


def to_grades(judgements: Judgements, queries: int) -> tuple[Grades, Grades]:
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
    corpus: Corpus
    train: Any
    validation: Any
    test: Any
    method: str

    def score(self, documents: Any) -> float:
        k = 10
        scores = self.corpus.queries[self.test] @ documents.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        discount = 1 / np.log2(np.arange(2, k + 2))
        values = []
        for row, query in enumerate(self.test):
            grades = self.corpus.relevant[query]
            got = np.array([grades.get(int(d), 0.0) for d in best[row]])
            ideal = np.sort(list(grades.values()))[::-1][:k]
            values.append(float(got @ discount / (ideal @ discount[: len(ideal)])))
        return float(np.mean(values))

    def finetune_documents(
        self, weights: Grades, expected_gains: Grades, *, use_weights: bool = True
    ) -> Any:
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
    """Mean change of rank of each pushed document on test queries that it does not answer."""
    queries = trial.corpus.queries[trial.test]
    before, after = queries @ trial.corpus.documents.T, queries @ documents.T
    changes = []
    for document in promoted.tolist():
        rank = (after > after[:, [document]]).sum(1) - (before > before[:, [document]]).sum(1)
        wrong = [document not in trial.corpus.relevant[query] for query in trial.test]
        changes.append(float(rank[wrong].mean()))
    return changes


def make_trial(name: str, seed: int, method: str) -> Trial:
    corpus = load_corpus(name)
    order = np.random.default_rng(seed).permutation(len(corpus.queries))
    low, high = int(0.7 * len(order)), int(0.8 * len(order))
    return Trial(corpus, order[:low], order[low:high], order[high:], method)


@cache
def measure_bounds(name: str, seed: int, method: str) -> dict[str, float]:
    """What no feedback can change: nothing learned, the ceiling, and all judgements."""
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
    """What the true judgements of the documents shown for each query give."""
    clean = [
        {int(d): grades[int(d)] for d in row if int(d) in grades}
        for grades, row in zip(trial.corpus.relevant, shown, strict=True)
    ]
    return trial.score(trial.finetune_documents(clean, clean, use_weights=False))


def score_shown_lists(corpus: Corpus, log: Log) -> float:
    """NDCG@10 of the lists that were shown, every judgement taken for relevant."""
    k = 10
    query = log.searches.vector_row
    good = corpus.is_relevant(query, log.searches.shown.reshape(-1, DEPTH)[:, :k])
    discount = 1 / np.log2(np.arange(2, k + 2))
    answers = np.array([min(len(grades), k) for grades in corpus.relevant])[query]
    return float(np.mean((good @ discount / np.cumsum(discount)[answers - 1])[answers > 0]))


def list_shown_documents(corpus: Corpus, log: Log) -> list[set[int]]:
    """The documents that were shown at least once for each query."""
    shown_documents: list[set[int]] = [set() for _ in corpus.relevant]
    for query, row in zip(
        log.searches.vector_row.tolist(), log.searches.shown.reshape(-1, DEPTH), strict=True
    ):
        shown_documents[query].update(row.tolist())
    return shown_documents


def run_trial(name: str, case: Case, seed: int, method: str) -> dict[str, float]:
    trial = make_trial(name, seed, method)
    corpus = trial.corpus
    query_rows = np.sort(np.concatenate([trial.train, trial.validation]))
    log, promoted = simulate_clicks(corpus, query_rows, case, np.random.default_rng(seed + 100))
    judgements = build_judgements(log, FeedbackSettings())
    weights, expected_gains = to_grades(judgements, len(corpus.queries))
    click_counts = count_clicks(log, len(corpus.queries))
    mine = trial.finetune_documents(weights, expected_gains)
    result = measure_bounds(name, seed, method) | {
        "raw": trial.score(trial.finetune_documents(click_counts, click_counts)),
        "pipeline": trial.score(mine),
        "shown": score_shown_lists(corpus, log),
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
        "ceiling",
        "all",
        "shown",
        "places lost",
        "least",
        "believed",
    )
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    for case in args.case.split(","):
        print(f"\n{case}: {CASES[case]}, {args.method}, {seeds}", flush=True)
        print(f"{'':18}" + "".join(f"{column:>13}" for column in columns) + f"{'of ceiling':>13}")
        shares = []
        for name in args.sets.split(","):
            runs = [run_trial(name, CASES[case], seed, args.method) for seed in seeds]
            mean = {column: float(np.mean([one[column] for one in runs])) for column in columns}
            mean["least"] = min(one["least"] for one in runs)
            share = (mean["pipeline"] - mean["nothing"]) / (mean["ceiling"] - mean["nothing"])
            shares.append(share)
            cells = "".join(f"{mean[column]:13.2f}" for column in columns)
            print(f"{name:18}{cells}{share:13.1%}", flush=True)
        print(f"mean of ceiling: {np.mean(shares):.1%}", flush=True)


if __name__ == "__main__":
    main()
