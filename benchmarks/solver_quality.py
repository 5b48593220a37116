"""Measure held-out quality on real collections: nothing, nudge-ft, and this package's methods.

.bench/bin/python benchmarks/solver_quality.py [--sets nfcorpus,...] [--seeds 0,1] [--cache FILE]

Protocols: the paper's (70 % train, 10 % validation, 20 % test); on nfcorpus also `grouped`
(queries with identical judgements on one side) and `across` (learned on one of two clusters of
queries, tested on the other). A cache makes an interrupted run go on. --data reads sets from a
folder of your own, as `benchmarks/unseen/build.py` writes them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from functools import partial
from pathlib import Path

import numpy as np
from common.result_cache import ResultCache
from common.solver_protocol import (
    METRICS,
    SETS,
    load_dataset,
    measure_metrics,
    split_queries,
    split_query_clusters,
    split_query_groups,
)

from nudge_sync import finetune

OUR_METHODS = ("nudge-n", "nudge-m", "nudge-c", "auto")
NUDGE_FT_METHODS = ("ft-N", "ft-M")


def split_by_protocol(data, protocol, seed):
    if protocol == "paper":
        return split_queries(len(data.queries), seed)
    if protocol == "grouped":
        return split_query_groups(data.relevance, seed)
    in_first_cluster = split_query_clusters(data.queries, seed)
    cluster_queries, other_queries = (
        np.flatnonzero(in_first_cluster),
        np.flatnonzero(~in_first_cluster),
    )
    order = np.random.default_rng(seed).permutation(cluster_queries)
    train_count = int(0.875 * len(order))
    return order[:train_count], order[train_count:], other_queries


def finetune_documents(data, train, validation, method):
    """Return the documents as one method moves them, and what it chose."""
    if method == "nothing":
        return data.documents, {}
    if method in NUDGE_FT_METHODS:
        return run_nudge_ft(data, train, validation, method), {}
    fit = finetune(
        data.documents,
        data.queries[train],
        data.relevant(train),
        data.queries[validation],
        data.relevant(validation),
        method,
        similarity="dot" if method == "nudge-m" else "cosine",
    )
    return fit.documents, {"method": fit.method, **fit.parameters}


def run_nudge_ft(data, train, validation, method):
    from nudge import NUDGEM, NUDGEN  # noqa: PLC0415

    query_sets = [
        {
            "q_embs": data.queries[rows],
            "q_ans_indx": [list(grades) for grades in data.relevant(rows)],
        }
        for rows in (train, validation)
    ]
    kind = NUDGEN if method == "ft-N" else NUDGEM
    with contextlib.redirect_stdout(io.StringIO()):
        return kind().finetune_embeddings(data.documents.copy(), *query_sets)


def run_trial(data, protocol, seed, method):
    train, validation, test = split_by_protocol(data, protocol, seed)
    start = time.perf_counter()
    documents, settings = finetune_documents(data, train, validation, method)
    seconds = time.perf_counter() - start
    scores = measure_metrics(documents, data.queries[test], data.relevance[test])
    return {"scores": scores, "chosen": settings, "seconds": round(seconds, 2)}


def print_table(name, protocol, results, seeds):
    print(f"\n{name}, {protocol}: NDCG@10 / recall@10 / recall@1, means of {len(seeds)} seeds")
    means = {}
    for method, trials in results.items():
        mean = {name: np.mean([trial["scores"][name] for trial in trials]) for name in METRICS}
        means[method] = mean["ndcg@10"]
        figures = " / ".join(f"{mean[name]:.2f}" for name in METRICS)
        by_seed = " ".join(f"{trial['scores']['ndcg@10']:.2f}" for trial in trials)
        chosen = " ".join(trial["chosen"].get("method", "") for trial in trials)
        print(f"  {method:8} {figures}   seeds {by_seed}   {chosen if method == 'auto' else ''}")
    best_nudge_ft = max(
        (means[method] for method in NUDGE_FT_METHODS if method in means), default=None
    )
    if best_nudge_ft is not None and "auto" in means and best_nudge_ft > means["nothing"] + 0.5:
        ratio = (means["auto"] - means["nothing"]) / (best_nudge_ft - means["nothing"])
        print(f"  gain of auto / gain of nudge-ft's better: {ratio:.2f}")
        return ratio
    return None


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sets", default=",".join(SETS))
    options.add_argument("--seeds", default="0,1,2,3,4")
    options.add_argument("--protocols", default="paper,grouped,across")
    options.add_argument(
        "--methods", default=",".join(("nothing", *NUDGE_FT_METHODS, *OUR_METHODS))
    )
    options.add_argument("--cache")
    options.add_argument("--data", type=Path)
    given = options.parse_args()
    cache, ratios = ResultCache(given.cache), {}
    seeds = [int(seed) for seed in given.seeds.split(",")]
    for protocol in given.protocols.split(","):
        for name in given.sets.split(","):
            if protocol != "paper" and name != "nfcorpus":
                continue
            data = load_dataset(name, given.data)
            results = {
                method: [
                    cache.get(
                        f"{protocol} {name} {seed} {method}",
                        partial(run_trial, data, protocol, seed, method),
                    )
                    for seed in seeds
                ]
                for method in given.methods.split(",")
            }
            ratio = print_table(name, protocol, results, seeds)
            if protocol == "paper" and ratio is not None:
                ratios[name] = ratio
    if ratios:
        print(f"\nmean ratio over {', '.join(ratios)}: {np.mean(list(ratios.values())):.2f}")


if __name__ == "__main__":
    main()
