"""Held-out quality on real collections: nothing, nudge-ft, and this package's methods.

.bench/bin/python benchmarks/solver_quality.py [--sets nfcorpus,...] [--seeds 0,1] [--cache FILE]

Protocols: the paper's (70 % train, 10 % validation, 20 % test); on nfcorpus also `grouped`
(queries with identical judgements on one side) and `across` (learned on one of two clusters of
queries, tested on the other). A cache makes an interrupted run go on.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
from functools import partial
from pathlib import Path

import numpy as np
from solver_protocol import METRICS, SETS, grouped, halves, load, measure, split

from nudge_sync import finetune

OURS = ("nudge-n", "nudge-m", "nudge-c", "auto")
THEIRS = ("ft-N", "ft-M")


def parts(data, protocol, seed):
    if protocol == "paper":
        return split(len(data.queries), seed)
    if protocol == "grouped":
        return grouped(data.relevance, seed)
    inside = halves(data.queries, seed)
    mine, others = np.flatnonzero(inside), np.flatnonzero(~inside)
    order = np.random.default_rng(seed).permutation(mine)
    edge = int(0.875 * len(order))
    return order[:edge], order[edge:], others


def moved(data, rows, held, method):
    """The documents by one method, and what it chose."""
    if method == "nothing":
        return data.documents, {}
    if method in THEIRS:
        return by_nudge_ft(data, rows, held, method), {}
    fit = finetune(
        data.documents,
        data.queries[rows],
        data.relevant(rows),
        data.queries[held],
        data.relevant(held),
        method,
        similarity="dot" if method == "nudge-m" else "cosine",
    )
    return fit.documents, {"method": fit.method, **fit.parameters}


def by_nudge_ft(data, rows, held, method):
    from nudge import NUDGEM, NUDGEN  # noqa: PLC0415

    asked = [
        {"q_embs": data.queries[one], "q_ans_indx": [list(found) for found in data.relevant(one)]}
        for one in (rows, held)
    ]
    kind = NUDGEN if method == "ft-N" else NUDGEM
    with contextlib.redirect_stdout(io.StringIO()):
        return kind().finetune_embeddings(data.documents.copy(), *asked)


def result(data, protocol, seed, method):
    rows, held, test = parts(data, protocol, seed)
    start = time.perf_counter()
    documents, chosen = moved(data, rows, held, method)
    seconds = time.perf_counter() - start
    scores = measure(documents, data.queries[test], data.relevance[test])
    return {"scores": scores, "chosen": chosen, "seconds": round(seconds, 2)}


class Cache:
    def __init__(self, path: str | None) -> None:
        self.path = Path(path) if path else None
        lines = self.path.read_text().splitlines() if self.path and self.path.exists() else []
        self.known = dict(map(json.loads, lines))

    def get(self, key, compute):
        if key not in self.known:
            self.known[key] = compute()
            if self.path:
                with self.path.open("a") as file:
                    file.write(json.dumps([key, self.known[key]]) + "\n")
        return self.known[key]


def table(name, protocol, results, seeds):
    print(f"\n{name}, {protocol}: NDCG@10 / recall@10 / recall@1, means of {len(seeds)} seeds")
    means = {}
    for method, found in results.items():
        mean = {one: np.mean([each["scores"][one] for each in found]) for one in METRICS}
        means[method] = mean["ndcg@10"]
        figures = " / ".join(f"{mean[one]:.2f}" for one in METRICS)
        each = " ".join(f"{one['scores']['ndcg@10']:.2f}" for one in found)
        chosen = " ".join(one["chosen"].get("method", "") for one in found)
        print(f"  {method:8} {figures}   seeds {each}   {chosen if method == 'auto' else ''}")
    best = max((means[one] for one in THEIRS if one in means), default=None)
    if best is not None and "auto" in means and best > means["nothing"] + 0.5:
        ratio = (means["auto"] - means["nothing"]) / (best - means["nothing"])
        print(f"  gain of auto / gain of nudge-ft's better: {ratio:.2f}")
        return ratio
    return None


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sets", default=",".join(SETS))
    options.add_argument("--seeds", default="0,1,2,3,4")
    options.add_argument("--protocols", default="paper,grouped,across")
    options.add_argument("--methods", default=",".join(("nothing", *THEIRS, *OURS)))
    options.add_argument("--cache")
    given = options.parse_args()
    cache, ratios = Cache(given.cache), {}
    seeds = [int(one) for one in given.seeds.split(",")]
    for protocol in given.protocols.split(","):
        for name in given.sets.split(","):
            if protocol != "paper" and name != "nfcorpus":
                continue
            data = load(name)
            results = {
                method: [
                    cache.get(
                        f"{protocol} {name} {seed} {method}",
                        partial(result, data, protocol, seed, method),
                    )
                    for seed in seeds
                ]
                for method in given.methods.split(",")
            }
            ratio = table(name, protocol, results, seeds)
            if protocol == "paper" and ratio is not None:
                ratios[name] = ratio
    if ratios:
        print(f"\nmean ratio over {', '.join(ratios)}: {np.mean(list(ratios.values())):.2f}")


if __name__ == "__main__":
    main()
