"""What citations and thumbs on answers are worth beside clicks, simulated on real judgements.

python benchmarks/cited_answers.py [--seeds 2] [--sets metatool-minilm,nfcorpus-minilm]

Each training and validation query is asked in `--sessions` searches. A generator reads the first
five documents that each showed, and cites a relevant one with 0.8 and another one with `error`. In
one of ten searches somebody says whether the answer helped: up if it cites a relevant document,
else down, and one in ten the other way round; the opinion counts for each document cited, a thumb
down as a label that it does not answer. In `clicking` of the searches people click as in
`feedback_simulation.py`. NUDGE-N, NDCG@10 of the test queries; printed is the share of what clean
judgements of all that was shown would gain.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
from common.simulated_feedback import DEPTH, RELEVANT_CLICK_RATE, Case, Corpus, build_log
from feedback_simulation import Trial, make_trial, measure_bounds, to_grades

from nudge_sync.feedback.judgements import build_judgements
from nudge_sync.feedback.log.columns import Log
from nudge_sync.settings.feedback import FeedbackSettings

READ, CITE_RATE, THUMB_SHARE, WRONG_THUMBS = 5, 0.8, 0.1, 0.1
IRRELEVANT_CLICK_RATE = 0.1


@dataclass(frozen=True)
class World:
    """How often the generator errs, and in which share of searches anybody clicks."""

    error: float
    clicking: float


WORLDS = {
    "good generator, clicks": World(0.05, 1.0),
    "poor generator, clicks": World(0.3, 1.0),
    "good generator, few clicks": World(0.05, 0.2),
    "poor generator, few clicks": World(0.3, 0.2),
}
WEIGHTS = (
    {"click": 1.0},
    {"cited": 1.0},
    {"thumb": 1.0},
    *({"click": 1.0, "cited": weight} for weight in (0.25, 0.5, 1.0, 2.0)),
    *({"click": 1.0, "thumb": weight} for weight in (0.5, 1.0, 2.0, 3.0)),
    {"click": 1.0, "cited": 0.5, "thumb": 1.0},
)
"""Action -> its weight; actions that are not named are not logged."""


def simulate_answers(
    corpus: Corpus, query_rows: Any, sessions: int, world: World, weights: Any, rng: Any
) -> Log:
    """Return the log of searches and of what was done in them, as `weights` weighs it."""
    query = np.repeat(query_rows, sessions)
    shown = corpus.ranking[query, :DEPTH].astype(np.int32)
    is_relevant = corpus.is_relevant(query, shown)
    examined = 1 / np.arange(1, DEPTH + 1)
    chance = np.where(is_relevant, RELEVANT_CLICK_RATE, IRRELEVANT_CLICK_RATE) * examined
    clicked = (rng.random(chance.shape) < chance) & (rng.random((len(query), 1)) < world.clicking)
    cited = rng.random(chance.shape) < np.where(is_relevant, CITE_RATE, world.error)
    cited[:, READ:] = False
    is_up = (cited & is_relevant).any(axis=1) != (rng.random(len(query)) < WRONG_THUMBS)
    has_thumb = rng.random(len(query)) < THUMB_SHARE
    grades = {
        "click": clicked.astype(float) - ~clicked,
        "cited": cited.astype(float) - ~cited,
        "thumb": np.where(cited & has_thumb[:, None], is_up[:, None].astype(float), -1.0),
    }
    actions = [[np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0)]]
    for action, weight in weights.items():
        row, index = np.nonzero(grades[action] >= 0)
        actions.append([row, shown[row, index], weight * grades[action][row, index]])
    columns = [np.concatenate(column) for column in zip(*actions, strict=True)]
    case = Case(sessions=sessions)
    return build_log(corpus, case, query, shown=shown, actions=columns)


def measure(trial: Trial, sessions: int, world: World, weights: Any, seed: int) -> float:
    """Return the NDCG@10 of the test queries after learning from what was done."""
    rows = np.sort(np.concatenate([trial.train, trial.validation]))
    rng = np.random.default_rng(seed + 100)
    log = simulate_answers(trial.corpus, rows, sessions, world, weights, rng)
    judgements = build_judgements(log, FeedbackSettings())
    return trial.score(trial.finetune_documents(*to_grades(judgements, len(trial.corpus.queries))))


def measure_share(name: str, seed: int, sessions: int, world: World, weights: Any) -> float:
    """Return how much of what clean judgements would gain is gained."""
    bounds = measure_bounds(name, seed, "nudge-n")
    score = measure(make_trial(name, seed, "nudge-n"), sessions, world, weights, seed)
    return (score - bounds["nothing"]) / (bounds["ceiling"] - bounds["nothing"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--sets", default="metatool-minilm,nfcorpus-minilm")
    given = parser.parse_args()
    names = given.sets.split(",")
    for title, world in WORLDS.items():
        print(f"\n{title}: {world}")
        print(f"{'weights':42}" + "".join(f"{name:>18}" for name in names) + f"{'mean':>9}")
        for weights in WEIGHTS:
            shares = [
                np.mean(
                    [
                        measure_share(name, seed, given.sessions, world, weights)
                        for seed in range(given.seeds)
                    ]
                )
                for name in names
            ]
            label = ", ".join(f"{action} {weight:g}" for action, weight in weights.items())
            cells = "".join(f"{share:18.1%}" for share in shares)
            print(f"{label:42}{cells}{np.mean(shares):9.1%}", flush=True)


if __name__ == "__main__":
    main()
