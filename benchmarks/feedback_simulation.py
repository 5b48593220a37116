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
DEPTH, DEEPER, PUSHED, HIT = 20, 60, 5, 0.9
EXPLORED = 9
"""The place, from 0, that exploration takes."""


@dataclass(frozen=True)
class Case:
    eta: float = 1.0
    sessions: int = 30
    noise: float = 0.1
    vandals: float = 0.05
    forged: bool = False
    """Vandals log the documents they push as if they had been shown on top."""
    hit: float = HIT
    explore: bool = False


CASES = {
    "plain": Case(),
    "clean": Case(vandals=0.0),
    "vandals": Case(vandals=0.2),
    "forged": Case(vandals=0.2, forged=True),
    "steep": Case(eta=2.0, sessions=50),
    "flat": Case(eta=0.0),
    "few": Case(sessions=10),
    "one": Case(sessions=1),
    "noisy": Case(noise=0.15),
    "noise": Case(hit=0.1),
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
    top: Any
    """(q, DEEPER): the plain ranking."""

    def good(self, query: Any, shown: Any) -> Any:
        """Whether the documents `shown`, (s, k), answer each `query`, (s,)."""
        size = len(self.documents)
        pairs = [row * size + d for row, grades in enumerate(self.relevant) for d in grades]
        return np.isin(query[:, None].astype(np.int64) * size + shown, pairs)


@cache
def corpus(name: str) -> Corpus:
    folder = SHARED / name
    documents, queries = np.load(folder / "documents.npy"), np.load(folder / "queries.npy")
    rows = {id_: row for row, id_ in enumerate((folder / "documents.txt").read_text().split())}
    asked = {id_: row for row, id_ in enumerate((folder / "queries.txt").read_text().split())}
    relevant: Grades = [{} for _ in asked]
    for line in (folder / "qrels.tsv").read_text().splitlines():
        query, document, grade = line.split("\t")
        relevant[asked[query]][rows[document]] = float(grade)
    top = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :DEEPER]
    return Corpus(documents, queries, relevant, top)


def simulated(of: Corpus, who: Any, case: Case, rng: Any) -> tuple[Log, Any]:
    pushed = rng.choice(np.unique(of.top[who, :DEPTH]), PUSHED, replace=False)
    query = np.repeat(who, case.sessions)
    shown = of.top[query, :DEPTH].astype(np.int32)
    vandal = rng.random(len(query)) < case.vandals
    if case.explore:
        shown[:, EXPLORED] = of.top[query, rng.integers(DEPTH, DEEPER, len(query))]
    chance = np.where(of.good(query, shown), case.hit, case.noise)
    chance = chance / np.arange(1, DEPTH + 1) ** case.eta
    clicked = (rng.random(chance.shape) < chance) & ~vandal[:, None]
    if case.forged:
        for row in np.flatnonzero(vandal):
            rest = [d for d in shown[row] if d not in pushed]
            shown[row] = [*pushed, *rest][:DEPTH]
    row, place = np.nonzero(clicked)
    search = np.concatenate([row, np.repeat(np.flatnonzero(vandal), PUSHED)])
    point = np.concatenate([shown[row, place], np.tile(pushed, int(vandal.sum()))])
    return _log(of, who, case, query, shown=shown, search=search, point=point), pushed


def _log(
    of: Corpus, who: Any, case: Case, query: Any, *, shown: Any, search: Any, point: Any
) -> Log:
    count = len(query)
    person = np.arange(1, count + 1, dtype=np.int32)
    searches = Searches(
        query_ids=[f"{q:06d} {s:03d}" for q in who for s in range(case.sessions)],
        vector_row=query.astype(np.int32),
        time=np.zeros(count),
        session=person,
        client=person,
        shown_starts=np.arange(count + 1, dtype=np.int64) * DEPTH,
        shown=shown.ravel(),
    )
    order = np.lexsort((point, search))
    nothing = np.zeros(len(order), np.int32)
    clicks = Actions(
        search=search[order].astype(np.int32),
        point=point[order].astype(np.int32),
        weight=np.ones(len(order)),
        rank=nothing,
        time=np.zeros(len(order)),
        session=nothing,
        client=nothing,
    )
    people = ["", *(f"{number:08d}" for number in range(count))]
    none = clicks.select(np.zeros(0, np.int64))
    points: list[Any] = list(range(len(of.documents)))
    return Log(searches, none, clicks, points, people, people, of.queries, {}, 0)


def raw_clicks(log: Log, queries: int) -> Grades:
    grades: Grades = [{} for _ in range(queries)]
    rows = log.searches.vector_row[log.behaviour.search].tolist()
    for row, point in zip(rows, log.behaviour.point.tolist(), strict=True):
        grades[row][point] = grades[row].get(point, 0.0) + 1.0
    return grades


def believed(found: Judgements, queries: int) -> tuple[Grades, Grades]:
    pulls: Grades = [{} for _ in range(queries)]
    gains: Grades = [{} for _ in range(queries)]
    rows = [int(name.split()[0]) for name in found.query_ids]
    for at, point, weight in zip(found.query_rows, found.point_ids, found.weights, strict=True):
        pulls[rows[at]][int(point)] = float(weight)
    of = found.expected_gains
    for at, point, gain in zip(of.query_rows, of.point_ids, of.gains, strict=True):
        gains[rows[at]][int(point)] = float(gain)
    return pulls, gains


@dataclass(frozen=True)
class Trial:
    of: Corpus
    train: Any
    validation: Any
    test: Any
    method: str

    def score(self, documents: Any) -> float:
        k = 10
        scores = self.of.queries[self.test] @ documents.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        discount = 1 / np.log2(np.arange(2, k + 2))
        values = []
        for row, query in enumerate(self.test):
            grades = self.of.relevant[query]
            got = np.array([grades.get(int(d), 0.0) for d in best[row]])
            ideal = np.sort(list(grades.values()))[::-1][:k]
            values.append(float(got @ discount / (ideal @ discount[: len(ideal)])))
        return float(np.mean(values))

    def learned(self, pulls: Grades, gains: Grades, *, weighed: bool = True) -> Any:
        rows = self.of.queries
        train = [pulls[row] for row in self.train]
        return finetune(
            self.of.documents,
            rows[self.train],
            train,
            rows[self.validation],
            [gains[row] for row in self.validation],
            method=self.method,
            train_weights=train if weighed else None,
        ).documents


def places_lost(trial: Trial, documents: Any, pushed: Any) -> list[float]:
    """Mean change of rank of each pushed document on test queries that it does not answer."""
    asked = trial.of.queries[trial.test]
    before, after = asked @ trial.of.documents.T, asked @ documents.T
    changes = []
    for document in pushed.tolist():
        rank = (after > after[:, [document]]).sum(1) - (before > before[:, [document]]).sum(1)
        wrong = [document not in trial.of.relevant[query] for query in trial.test]
        changes.append(float(rank[wrong].mean()))
    return changes


def split(name: str, seed: int, method: str) -> Trial:
    of = corpus(name)
    order = np.random.default_rng(seed).permutation(len(of.queries))
    low, high = int(0.7 * len(order)), int(0.8 * len(order))
    return Trial(of, order[:low], order[low:high], order[high:], method)


@cache
def bounds(name: str, seed: int, method: str) -> dict[str, float]:
    """What no feedback can change: nothing learned, the ceiling, and all judgements."""
    trial = split(name, seed, method)
    of = trial.of
    return {
        "nothing": trial.score(of.documents),
        "ceiling": ceiling(trial, of.top[:, :DEPTH]),
        "all": trial.score(trial.learned(of.relevant, of.relevant, weighed=False)),
    }


def ceiling(trial: Trial, shown: Any) -> float:
    """What the true judgements of the documents shown for each query give."""
    clean = [
        {int(d): grades[int(d)] for d in row if int(d) in grades}
        for grades, row in zip(trial.of.relevant, shown, strict=True)
    ]
    return trial.score(trial.learned(clean, clean, weighed=False))


def quality_shown(of: Corpus, log: Log) -> float:
    """NDCG@10 of the lists that were shown, every judgement taken for relevant."""
    k = 10
    query = log.searches.vector_row
    good = of.good(query, log.searches.shown.reshape(-1, DEPTH)[:, :k])
    discount = 1 / np.log2(np.arange(2, k + 2))
    answers = np.array([min(len(grades), k) for grades in of.relevant])[query]
    return float(np.mean((good @ discount / np.cumsum(discount)[answers - 1])[answers > 0]))


def ever_shown(of: Corpus, log: Log) -> list[set[int]]:
    """The documents that were shown at least once for each query."""
    found: list[set[int]] = [set() for _ in of.relevant]
    for query, row in zip(
        log.searches.vector_row.tolist(), log.searches.shown.reshape(-1, DEPTH), strict=True
    ):
        found[query].update(row.tolist())
    return found


def run(name: str, case: Case, seed: int, method: str) -> dict[str, float]:
    trial = split(name, seed, method)
    of = trial.of
    who = np.sort(np.concatenate([trial.train, trial.validation]))
    log, pushed = simulated(of, who, case, np.random.default_rng(seed + 100))
    found = build_judgements(log, FeedbackSettings())
    pulls, gains = believed(found, len(of.queries))
    raw = raw_clicks(log, len(of.queries))
    mine = trial.learned(pulls, gains)
    result = bounds(name, seed, method) | {
        "raw": trial.score(trial.learned(raw, raw)),
        "pipeline": trial.score(mine),
        "shown": quality_shown(of, log),
    }
    if case.explore:
        result["ceiling"] = ceiling(trial, ever_shown(of, log))
    lost = places_lost(trial, mine, pushed)
    return {key: 100 * value for key, value in result.items()} | {
        "places lost": float(np.mean(lost)),
        "least": min(lost),
        "believed": float(len(found)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--case", default="plain,vandals,steep,few")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--method", default="nudge-n")
    asked = parser.parse_args()
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
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    for case in asked.case.split(","):
        print(f"\n{case}: {CASES[case]}, {asked.method}, {seeds}", flush=True)
        print(f"{'':18}" + "".join(f"{column:>13}" for column in columns) + f"{'of ceiling':>13}")
        shares = []
        for name in asked.sets.split(","):
            runs = [run(name, CASES[case], seed, asked.method) for seed in seeds]
            mean = {column: float(np.mean([one[column] for one in runs])) for column in columns}
            mean["least"] = min(one["least"] for one in runs)
            share = (mean["pipeline"] - mean["nothing"]) / (mean["ceiling"] - mean["nothing"])
            shares.append(share)
            cells = "".join(f"{mean[column]:13.2f}" for column in columns)
            print(f"{name:18}{cells}{share:13.1%}", flush=True)
        print(f"mean of ceiling: {np.mean(shares):.1%}", flush=True)


if __name__ == "__main__":
    main()
