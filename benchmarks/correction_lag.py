"""How many clicks does it take until a wrong list is right?

    python benchmarks/correction_lag.py [--sets nfcorpus,...] [--asks 1,2,5,10,20] [--lists 50]

Visitors search and click as in `closed_loop.py`, but nobody asks some queries whose list is wrong:
what it shows first is no answer, and an answer is further down. Then they are asked more and more
often, each time by somebody new, and the product's own cycle runs on the whole log: click model,
plan, gate, write. The next visitors see what it left.

A line says, after so many asks of each: clicks on an answer (median and mean of the lists), how
many lists begin with an answer now, with Wilson's 95 % interval, how many have one among the first
three, and what became of the cycle. Then, by McNemar's exact test, whether `auto` puts more of
them right than nothing does, and than NUDGE-N does. The lists are the same for every method; after
the first cycle, the clicks are not.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from closed_loop import Application, rank_documents
from common.cold_trial import unit_rows
from common.simulated_feedback import Case
from common.solver_protocol import SETS, Dataset, load_dataset
from scipy.stats import binomtest

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, SolverSettings
from nudge_sync.settings.feedback import FeedbackSettings

METHODS = ("nothing", "nudge-n", "auto")
FIRST_FEW = 3


def choose_wrong_lists(application: Application, count: int) -> Any:
    """Return queries whose list begins with a wrong document and has an answer further down.

    They are drawn from those that are asked, and nobody asks them any more.
    """
    right = rank_answers(application, application.asked)
    wrong = np.flatnonzero(~right[:, 0] & right.any(axis=1))
    chosen = application.rng.permutation(wrong)[:count]
    rows = application.asked[chosen]
    kept = np.ones(len(application.asked), np.bool_)
    kept[chosen] = False
    application.asked = application.asked[kept]
    application.popularity = application.popularity[kept] / application.popularity[kept].sum()
    return rows


def rank_answers(application: Application, rows: Any) -> Any:
    """Return which places of the lists of the queries `rows` hold an answer now, (r, DEPTH)."""
    data = application.data
    shown = rank_documents(data.queries[rows], application.read_vectors())
    return np.take_along_axis(data.relevance[rows].toarray() > 0, shown, axis=1)


def run_method(method: str, data: Dataset, seed: int, given: argparse.Namespace) -> list[Any]:
    """Print a line for each number of asks; return which lists begin with an answer after each."""
    case = Case(examination_decay=given.decay, behaviour=given.behaviour)
    application = Application.open(data, seed, case, given.popularity, 0.0)
    lists = choose_wrong_lists(application, given.lists)
    application.receive_visitors(given.searches, 0)
    clicks = np.zeros(len(lists), np.intp)
    done, corrected = 0, []
    for number, asks in enumerate(given.asks):
        for _ in range(asks - done):
            clicks += application.ask(lists, number)
        done = asks
        outcome = ""
        if method != "nothing":
            settings = CollectionSettings(
                solver=SolverSettings(method=method, cold_share=given.cold_share, threads=1),
                feedback=FeedbackSettings(traffic_exponent=given.traffic_exponent),
            )
            outcome = cycle.apply(application.target, settings).outcome
        right = rank_answers(application, lists)
        corrected.append(right[:, 0])
        interval = binomtest(int(right[:, 0].sum()), len(lists)).proportion_ci(method="wilson")
        shares = right[:, 0].mean(), right[:, :FIRST_FEW].any(axis=1).mean()
        print(
            f"{method:9} {asks:5} {np.median(clicks):6.0f} {clicks.mean():6.1f} "
            f"{shares[0]:8.0%} [{interval.low:.0%}, {interval.high:.0%}] {shares[1]:10.0%} "
            f"{outcome}",
            flush=True,
        )
    return corrected


def compare_pairs(better: Any, worse: Any) -> float:
    """Return McNemar's exact p for two methods that put the same lists right or not."""
    only_better, only_worse = int((better & ~worse).sum()), int((~better & worse).sum())
    differing = only_better + only_worse
    return float(binomtest(only_better, differing).pvalue) if differing else 1.0


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--sets", default=",".join(SETS))
    options.add_argument("--data", type=Path)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--asks", default="1,2,5,10,20")
    options.add_argument("--lists", type=int, default=50)
    options.add_argument("--searches", type=int, default=5000)
    options.add_argument("--popularity", type=float, default=0.5)
    options.add_argument("--decay", type=float, default=1.0)
    options.add_argument("--behaviour", default="pbm")
    options.add_argument("--cold-share", default="auto")
    options.add_argument("--traffic-exponent", type=float, default=0.5)
    given = options.parse_args()
    given.asks = sorted(int(each) for each in given.asks.split(","))
    for name in given.sets.split(","):
        data = load_dataset(name, given.data)
        data = Dataset(unit_rows(data.documents), unit_rows(data.queries), data.relevance)
        print(f"\n{name}, seed {given.seed}: {given.searches} searches of others before")
        print(f"{'':9} {'asked':>5} {'clicks':>13} {'answer first':>20} {'in first 3':>10}")
        corrected = {method: run_method(method, data, given.seed, given) for method in METHODS}
        for other in METHODS[:2]:
            values = [
                f"{compare_pairs(ours, theirs):.3f}"
                for ours, theirs in zip(corrected["auto"], corrected[other], strict=True)
            ]
            print(f"auto against {other}, p after each number of asks: {', '.join(values)}")


if __name__ == "__main__":
    main()
