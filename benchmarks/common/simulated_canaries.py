"""The world of `experiment_simulation.py`: people who search in both arms of a canary, and click.

Each session is one search of a query that the plan was not made from, drawn at random. Clicks are
those of `feedback_simulation.py`: rank r is examined with probability 1 / r, and an examined
document is clicked with 0.9 if it answers the query and with 0.1 if not; ten documents are shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from common.simulated_feedback import SHARED, load_corpus
from nudge_sync import cycle, finetune
from nudge_sync.config import CollectionSettings
from nudge_sync.demo.demo_cycle import import_requests
from nudge_sync.demo.requests import Requests, load_demo_data, split_requests
from nudge_sync.experiment.evidence.credit import SessionCredits
from nudge_sync.experiment.evidence.effect import (
    Observations,
    observe_interleaved,
    observe_split,
)
from nudge_sync.experiment.interleave import draft_teams
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.solve.geometry import unit
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore

DEPTH, ROUNDS = 10, 5
"""Results shown; rounds of team draft that fill them, each with a coin."""
CLICK_RATES = np.array([0.1, 0.9])
"""Of an examined document that does not answer, and of one that does."""
TEAM_SIGNS = {"control": -1, "both": 0, "treatment": 1}
DEMO = "demo"


@dataclass(frozen=True, eq=False)
class World:
    """A collection, what a plan would make of it, and the queries of people who search it."""

    documents: Any
    planned: Any
    """(n, d): the documents as the plan would have them."""
    queries: Any
    answers: list[frozenset[int]]

    @property
    def moved(self) -> Any:
        """(n,): which documents the plan moves."""
        return (self.documents != self.planned).any(axis=1)

    def scale(self, share: float) -> World:
        """Return the world whose plan goes `share` of the way."""
        planned = unit(self.documents + share * (self.planned - self.documents)).astype(np.float32)
        planned[~self.moved] = self.documents[~self.moved]
        return replace(self, planned=planned)

    def rank(self, documents: Any) -> Any:
        """Return the documents that each query finds, best first, (q, DEPTH)."""
        return np.argsort(-(self.queries @ documents.T), axis=1, kind="stable")[:, :DEPTH]

    def find_answers(self, lists: Any) -> Any:
        """Return which documents of lists (q, ..., DEPTH) answer the query."""
        size = len(self.documents)
        pairs = [row * size + d for row, answers in enumerate(self.answers) for d in answers]
        rows = np.arange(len(lists)).reshape(-1, *[1] * (lists.ndim - 1))
        return np.isin(rows * size + lists, pairs)

    def score(self, documents: Any) -> Any:
        """Return the NDCG@10 of each query, (q,), every answer alike."""
        is_answer = self.find_answers(self.rank(documents))
        discount = 1 / np.log2(np.arange(2, DEPTH + 2))
        counts = np.array([min(len(answers), DEPTH) for answers in self.answers])
        return is_answer @ discount / np.cumsum(discount)[counts - 1]

    def measure_gain(self, queries: Any = slice(None)) -> float:
        """Return what the plan gains in mean NDCG@10, in points, for all queries or some."""
        return float(100 * (self.score(self.planned) - self.score(self.documents))[queries].mean())

    @property
    def is_cold(self) -> Any:
        """(q,): for which queries no answer moves."""
        return np.array([not self.moved[list(answers)].any() for answers in self.answers])


def load_requests(name: str) -> tuple[Any, Requests, Requests]:
    """Return the documents of a set, the queries that plans are made from, and the others."""
    if name == DEMO:
        tools, requests = load_demo_data()
        return tools.vectors, *split_requests(requests)
    corpus = load_corpus(name)
    names = [f"{row:06d}" for row in range(len(corpus.queries))]
    answers = [frozenset(grades) for grades in corpus.relevant]
    return corpus.documents, *split_requests(Requests(names, corpus.queries, answers))


def list_sets() -> list[str]:
    """Return the sets that are there: the demo's always."""
    others = ("nfcorpus-minilm", "cranfield-minilm", "squad-minilm")
    return [DEMO, *(name for name in others if (SHARED / name).is_dir())]


def plan_demo(documents: Any, train: Requests) -> Any:
    """Return the demo's documents as the plan of a whole cycle would have them."""
    store = MemoryStore()
    store.create("docs", documents.shape[1])
    store.upsert("docs", list(range(len(documents))), documents)
    target = open_target(MemoryDatabase(store), "docs")
    import_requests(target, train, lambda *_: None)
    rows = cycle.plan(target, CollectionSettings()).rows
    planned = documents.copy()
    planned[[int(id_) for id_ in rows.ids]] = rows.vectors
    return planned


def plan_by_nudge_n(documents: Any, train: Requests, angle: float | None = None) -> Any:
    """Return the documents turned by NUDGE-N, its angle chosen on an eighth of the queries."""
    names, cut = len(train.names), len(train.names) // 8
    validation, rest = train.select(np.arange(cut)), train.select(np.arange(cut, names))
    answers, more = ([dict.fromkeys(a, 1.0) for a in each.answers] for each in (rest, validation))
    return finetune(
        documents, rest.vectors, answers, validation.vectors, more, "nudge-n", angle=angle
    ).documents


def spoil_answers(train: Requests, document_count: int, spoil: str) -> Requests:
    """Return the training queries with wrong or missing answers.

    spoil: "shuffled", each query gets the answers of another; "cold", three documents of ten lose
    all of theirs, and queries that lose every answer are left out; "", nothing changes.
    """
    rng = np.random.default_rng(0)
    if spoil == "shuffled":
        order = rng.permutation(len(train.answers))
        return replace(train, answers=[train.answers[row] for row in order])
    if spoil == "cold":
        cold = frozenset(rng.permutation(document_count)[: int(0.3 * document_count)].tolist())
        train = replace(train, answers=[answers - cold for answers in train.answers])
        return train.select(np.flatnonzero([bool(answers) for answers in train.answers]))
    return train


def build_world(
    name: str, plans: Path | None = None, *, spoil: str = "", angle: float | None = None
) -> World:
    """Return the world of a set and its plan.

    plans: a folder in which plans are kept, or None; spoil: see above; angle: a fixed one.
    """
    documents, train, others = load_requests(name)
    train = spoil_answers(train, len(documents), spoil)
    kept = plans and plans / f"{name}-{spoil}-{angle}.npy"
    if kept and kept.exists():
        planned = np.load(kept)
    elif name == DEMO and angle is None and not spoil:
        planned = plan_demo(documents, train)
    else:
        planned = plan_by_nudge_n(documents, train, angle)
    if kept:
        np.save(kept, planned)
    return World(documents, planned, others.vectors, others.answers)


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists that may be shown, (l, DEPTH): for each rank, whether it answers, and so on."""

    click_rate: Any
    """(l, DEPTH): the probability of a click."""
    weight: Any
    """(l, DEPTH): what a click counts for in the guardrail."""
    team: Any = None
    """(l, DEPTH): 1, -1 or 0."""


def describe_lists(world: World, lists: Any, team: Any = None) -> Lists:
    """Return the lists of (q, ..., DEPTH) documents, one a row, in the order of the queries."""
    is_answer = world.find_answers(lists).reshape(-1, DEPTH)
    weight = np.where(world.moved, 1 / CanarySettings().unmoved_weight, 1.0)
    return Lists(
        (CLICK_RATES[is_answer.astype(int)] / np.arange(1, DEPTH + 1)).astype(np.float32),
        weight[lists].reshape(-1, DEPTH).astype(np.float32),
        None if team is None else team.reshape(-1, DEPTH),
    )


def draft_lists(world: World) -> Lists:
    """Return the interleaved lists of each query by each outcome of the coins, by the product's own
    team draft: row 32 q + coins.
    """
    control, treatment = (world.rank(each) for each in (world.documents, world.planned))
    outcomes = list(product([False, True], repeat=ROUNDS))
    shape = (len(control), len(outcomes), DEPTH)
    ids, team = np.zeros(shape, np.int64), np.zeros(shape, np.int8)
    for row, (left, right) in enumerate(zip(control.tolist(), treatment.tolist(), strict=True)):
        for column, coins in enumerate(outcomes):
            # Should an arm run out of results, the last rounds need more coins.
            drafted = draft_teams(left, right, DEPTH, iter([*coins, *coins]))
            ids[row, column] = drafted.ids
            team[row, column] = [TEAM_SIGNS[each] for each in drafted.teams]
    return describe_lists(world, ids, team)


@dataclass(frozen=True, eq=False)
class Canaries:
    """What some canaries saw, (canaries, sessions)."""

    effect: Observations
    unmoved: Observations
    assignments: Any
    """Who chance gave the treatment to, or, interleaved, the first turn."""
    query: Any
    """The query of each session."""
    is_treatment: Any
    credit: Any
    """What the observations are made of, as `SessionCredits` has it."""
    unmoved_credit: Any
    interleaved: bool

    def read_credits(self, row: int, sessions: int) -> SessionCredits:
        """Return what the first sessions of one canary would be read as from a log."""
        return SessionCredits(
            interleaved=self.interleaved,
            credit=self.credit[row, :sessions],
            unmoved_credit=self.unmoved_credit[row, :sessions],
            is_treatment=self.is_treatment[row, :sessions],
            assignments=self.assignments[row, :sessions],
            left_out={},
            newest_search=0.0,
            newest_click=0.0,
        )


def simulate_interleaving(
    world: World, lists: Lists, shape: tuple[int, int], rng: Any, *, null: bool = False
) -> Canaries:
    """Return canaries whose lists are made of both arms.

    null: a coin says in each session which arm is called the treatment, so that neither is better.
    """
    query = rng.integers(len(world.queries), size=shape)
    row = query * 2**ROUNDS + rng.integers(2**ROUNDS, size=shape)
    clicked = rng.random((*shape, DEPTH), np.float32) < lists.click_rate[row]
    team = lists.team[row] * clicked
    if null:
        team = team * rng.choice(np.array([-1, 1], np.int8), (*shape, 1))
    total = np.maximum(clicked.sum(axis=-1), 1)
    credit = team.sum(axis=-1) / total
    unmoved = (team * lists.weight[row]).sum(axis=-1) / total
    first = rng.random(shape) < 0.5
    return Canaries(
        observe_interleaved(credit),
        observe_interleaved(unmoved),
        first,
        query,
        first,
        credit,
        unmoved,
        interleaved=True,
    )


def simulate_split(
    world: World, shape: tuple[int, int], rng: Any, *, share: float, null: bool = False
) -> Canaries:
    """Return canaries in which each session gets the lists of one arm; see above."""
    arms = [world.rank(each) for each in (world.documents, world.planned)]
    lists = describe_lists(world, np.stack(arms, axis=1))
    query = rng.integers(len(world.queries), size=shape)
    is_treatment = rng.random(shape) < share
    shown_arm = rng.random(shape) < 0.5 if null else is_treatment
    row = 2 * query + shown_arm
    clicked = rng.random((*shape, DEPTH), np.float32) < lists.click_rate[row]
    credit = clicked.any(axis=-1).astype(np.float64)
    unmoved = (clicked * lists.weight[row]).max(axis=-1).astype(np.float64)
    return Canaries(
        observe_split(credit, is_treatment, share),
        observe_split(unmoved, is_treatment, share),
        is_treatment,
        query,
        is_treatment,
        credit,
        unmoved,
        interleaved=False,
    )


def split_chunks(canaries: int, sessions: int) -> Iterator[int]:
    """Yield how many canaries to simulate at a time, so that they fit into memory."""
    size = max(1, 400_000 // sessions)
    for start in range(0, canaries, size):
        yield min(size, canaries - start)
