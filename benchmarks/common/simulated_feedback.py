"""The world of `feedback_simulation.py`: people who search a corpus and click on what they see."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import numpy as np

from common.click_behaviours import TRUST, Behaviour, draw_clicks
from nudge_sync.feedback.clicks import posterior
from nudge_sync.feedback.clicks.bias.click_model import RANK_COUNT, ClickModel
from nudge_sync.feedback.clicks.impressions.single import DISTANCE_CLASS_COUNT
from nudge_sync.feedback.log.columns import Actions, Log, Searches

SHARED = Path(os.environ.get("NUDGE_SYNC_SHARED", Path(__file__).parents[3] / "shared")) / "data"
SETS = ("metatool-minilm", "nfcorpus-minilm")
DEPTH, EXPLORATION_DEPTH, PROMOTED_DOCUMENTS, RELEVANT_CLICK_RATE = 20, 60, 5, 0.9
EXPLORED_INDEX = 9
"""The index in the list that exploration takes."""
_LEAST = 1e-4
"""Stands for 0 among the probabilities of a click model, and for those of ranks nobody is shown."""


@dataclass(frozen=True)
class Case:
    """How people look and click, and what the application does and logs."""

    examination_decay: float = 1.0
    """Rank r is examined with probability 1 / r^examination_decay."""
    sessions: int = 30
    """Searches for each query, in the mean."""
    popularity: float = 0.0
    """Of all searches, the query of popularity rank r gets a share in proportion to
    1 / r^popularity: 0 for all alike, 1 for Zipf's law."""
    irrelevant_click_rate: float = 0.1
    vandals: float = 0.05
    forged: bool = False
    """Vandals log the documents they promote as if they had been shown on top."""
    relevant_click_rate: float = RELEVANT_CLICK_RATE
    explore: bool = False
    """The application shows one of the ranks 21 to 60 at rank 10."""
    shuffle: bool = False
    """The application shows the top documents in random order."""
    logs_propensities: bool = False
    """It logs how likely each document was to be examined, over all orders it might have drawn."""
    bias: Literal["pbm", "coec", "ipw"] = "pbm"
    behaviour: Behaviour = "pbm"
    traffic_exponent: float = 0.5
    """How much more the product counts a query that more people ask."""


CASES = {
    "plain": Case(),
    "clean": Case(vandals=0.0),
    "vandals": Case(vandals=0.2),
    "forged": Case(vandals=0.2, forged=True),
    "steep": Case(examination_decay=2.0, sessions=50),
    "flat": Case(examination_decay=0.0),
    "few": Case(sessions=10),
    "five": Case(sessions=5),
    "one": Case(sessions=1),
    "noisy": Case(irrelevant_click_rate=0.15),
    "noise": Case(relevant_click_rate=0.1),
    "explore": Case(explore=True),
    "explore-long": Case(explore=True, sessions=300),
    "long": Case(sessions=300),
    "shuffled": Case(shuffle=True, bias="ipw"),
    "shuffled-logged": Case(shuffle=True, bias="ipw", logs_propensities=True),
    "shuffled-steep": Case(shuffle=True, bias="ipw", examination_decay=2.0),
    "shuffled-steep-logged": Case(
        shuffle=True, bias="ipw", examination_decay=2.0, logs_propensities=True
    ),
    "shuffled-pbm": Case(shuffle=True),
    "shuffled-steep-pbm": Case(shuffle=True, examination_decay=2.0),
    "zipf": Case(popularity=1.0),
    "zipf-alike": Case(popularity=1.0, traffic_exponent=0.0),
    "zipf-few": Case(popularity=1.0, sessions=5),
    "zipf-few-alike": Case(popularity=1.0, sessions=5, traffic_exponent=0.0),
    "cascade": Case(behaviour="cascade"),
    "dcm": Case(behaviour="dcm"),
    "trust": Case(behaviour="trust"),
}
Grades = list[dict[int, float]]


@dataclass(frozen=True, eq=False)
class Corpus:
    """A corpus with judgements, and what plain search shows."""

    documents: Any
    queries: Any
    relevant: Grades
    ranking: Any
    """(q, EXPLORATION_DEPTH): the documents of the plain ranking, best first."""

    def is_relevant(self, query: Any, shown: Any) -> Any:
        """Return which documents `shown`, (s, k), are relevant to their `query`, (s,)."""
        size = len(self.documents)
        pairs = [row * size + d for row, grades in enumerate(self.relevant) for d in grades]
        return np.isin(query[:, None].astype(np.int64) * size + shown, pairs)


@cache
def load_corpus(name: str) -> Corpus:
    """Return the corpus of a folder with embedded documents and queries, and qrels."""
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
    """Return the log of searches for the queries, and the promoted documents."""
    promoted = rng.choice(
        np.unique(corpus.ranking[query_rows, :DEPTH]), PROMOTED_DOCUMENTS, replace=False
    )
    query = np.repeat(query_rows, draw_search_counts(len(query_rows), case, rng))
    shown = corpus.ranking[query, :DEPTH].astype(np.int32)
    vandal = rng.random(len(query)) < case.vandals
    if case.explore:
        shown[:, EXPLORED_INDEX] = corpus.ranking[
            query, rng.integers(DEPTH, EXPLORATION_DEPTH, len(query))
        ]
    if case.shuffle:
        shown = rng.permuted(shown, axis=1)
    clicked = ~vandal[:, None] & draw_clicks(
        case.behaviour,
        corpus.is_relevant(query, shown),
        (case.irrelevant_click_rate, case.relevant_click_rate),
        case.examination_decay,
        rng,
    )
    if case.forged:
        for row in np.flatnonzero(vandal):
            rest = [d for d in shown[row] if d not in promoted]
            shown[row] = [*promoted, *rest][:DEPTH]
    row, index = np.nonzero(clicked)
    search = np.concatenate([row, np.repeat(np.flatnonzero(vandal), PROMOTED_DOCUMENTS)])
    point = np.concatenate([shown[row, index], np.tile(promoted, int(vandal.sum()))])
    actions = (search, point, np.ones(len(search)))
    return build_log(corpus, case, query, shown=shown, actions=actions), promoted


def draw_search_counts(query_count: int, case: Case, rng: Any) -> Any:
    """Return how often each query is searched for, (query_count,)."""
    if case.popularity == 0:
        return np.full(query_count, case.sessions)
    shares = rng.permutation(1 / np.arange(1, query_count + 1) ** case.popularity)
    return rng.multinomial(query_count * case.sessions, shares / shares.sum())


def build_log(corpus: Corpus, case: Case, query: Any, *, shown: Any, actions: Any) -> Log:
    """Return the log of searches for `query`, (s,), ascending, that showed `shown`, (s, DEPTH).

    actions: search, document and weight of each, three arrays; a weight of 0 or below is a label.
    """
    search, point, weight = actions
    count = len(query)
    people_codes = np.arange(1, count + 1, dtype=np.int32)
    searches = Searches(
        query_ids=[f"{query_row:06d} {row:08d}" for row, query_row in enumerate(query.tolist())],
        vector_row=query.astype(np.int32),
        time=np.zeros(count),
        session=people_codes,
        client=people_codes,
        shown_starts=np.arange(count + 1, dtype=np.int64) * DEPTH,
        shown=shown.ravel(),
        propensities=np.full(shown.size, _mean_examination(case), np.float32)
        if case.logs_propensities
        else None,
    )
    order = np.lexsort((weight, point, search))
    zeros = np.zeros(len(order), np.int32)
    rows = Actions(
        search=search[order].astype(np.int32),
        point=point[order].astype(np.int32),
        weight=weight[order],
        rank=zeros,
        time=np.zeros(len(order)),
        session=zeros,
        client=zeros,
    )
    people = ["", *(f"{number:08d}" for number in range(count))]
    labels, clicks = rows.select(rows.weight <= 0), rows.select(rows.weight > 0)
    points: list[Any] = list(range(len(corpus.documents)))
    return Log(searches, labels, clicks, points, people, people, corpus.queries, {}, 0)


def _mean_examination(case: Case) -> float:
    """Return how likely a document is to be examined that may stand at any rank of the list."""
    return float(np.mean(1 / np.arange(1, DEPTH + 1) ** case.examination_decay))


def build_true_model(corpus: Corpus, case: Case) -> ClickModel | None:
    """Return how people look and click in a case; None where the click model has no such people,
    or where other lists than the plain ranking are shown.
    """
    if case.behaviour == "dcm" or case.shuffle or case.explore:
        return None
    is_cascade = case.behaviour == "cascade"
    ranks = np.maximum(np.arange(RANK_COUNT), 1)
    rows = np.arange(len(corpus.queries))
    prior = np.full(RANK_COUNT, _LEAST)
    prior[1 : DEPTH + 1] = corpus.is_relevant(rows, corpus.ranking[:, :DEPTH]).mean(axis=0)
    trust = TRUST / ranks if case.behaviour == "trust" else 0.0
    persistence = np.full(DISTANCE_CLASS_COUNT, _LEAST if is_cascade else 1.0)
    persistence[0] = 1.0
    return ClickModel(
        examination=np.ones(RANK_COUNT) if is_cascade else ranks**-case.examination_decay,
        persistence=persistence,
        attractiveness_relevant=case.relevant_click_rate,
        attractiveness_irrelevant=np.full(RANK_COUNT, case.irrelevant_click_rate) + trust,
        prior=np.maximum(prior, _LEAST),
    )


@contextmanager
def tell(model: ClickModel) -> Iterator[None]:
    """Have the product take this click model instead of one that it fits."""
    with patch.object(posterior, "fit_click_model", lambda *_, **__: model):
        yield
