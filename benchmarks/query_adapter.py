"""What a query adapter gains alone, and together with moved documents.

.venv/bin/python benchmarks/query_adapter.py [--sets cranfield,metatool] [--seeds 0,1] [--forms]

Three protocols of `evaluate`: `random` (70 % train, 10 % validation, 20 % test),
`leave-cluster-out` with k = 2 (one of two clusters of queries only tests) and `cold-documents`
(30 % of the judged documents lose their feedback). NDCG@10, means of the seeds; after each mean the
gain over nothing with half of its 95 % interval over the queries. --forms compares other maps of
queries instead, each with its settings chosen on the validation queries. --data reads sets from
a folder of your own, as `benchmarks/unseen/build.py` writes them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from common.adapter_trial import METRIC, format_cell, list_splits, load_task, score_split
from common.query_forms import FORMS, train_form
from common.solver_protocol import SETS

from nudge_sync.evaluate.methods import TrainedMethod, train_method
from nudge_sync.evaluate.score import score_queries
from nudge_sync.evaluate.split import QuerySplit
from nudge_sync.evaluate.study import Study, StudySettings
from nudge_sync.evaluate.task import EvaluationTask

METHODS = ("nothing", "query-adapter", "auto", "auto+query-adapter")
PROTOCOLS = ("random", "leave-cluster-out", "cold-documents")


def train(task: EvaluationTask, split: QuerySplit, method: str, seed: int) -> TrainedMethod:
    if method in FORMS:
        return train_form(split.task or task, split, method)
    return train_method(task, split, method, METRIC, seed)


def run_protocol(task: EvaluationTask, protocol: str, methods: list[str], seeds: list[int]) -> None:
    """Print a line for each test part.  methods: the first is what gains are measured against."""
    baseline = score_queries(task.documents, task.queries, task.judgements)
    study = Study(task, StudySettings(), baseline)
    totals: dict[tuple[str, str], np.ndarray] = {}
    counts: dict[str, np.ndarray] = {}
    for seed, split in list_splits(task, protocol, seeds):
        for part, rows in split.tests.items():
            counts.setdefault(part, np.zeros(len(task.queries)))[rows] += 1
        for method in methods:
            for part, values in score_split(study, split, train(task, split, method, seed)).items():
                sums = totals.setdefault((part, method), np.zeros(len(task.queries)))
                sums[split.tests[part]] += values
    for part, count in counts.items():
        sums = [totals[part, method] for method in methods]
        cells = [format_cell(one, sums[0], count) for one in sums]
        print(f"  {protocol:18} {part:15} " + "".join(f"{cell:20}" for cell in cells), flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sets", default=",".join(SETS))
    options.add_argument("--data", type=Path)
    options.add_argument("--seeds", default="0,1,2,3,4")
    options.add_argument("--methods", default=",".join(METHODS))
    options.add_argument("--protocols", default=",".join(PROTOCOLS))
    options.add_argument("--cold-share", type=float, default=0.5)
    options.add_argument("--forms", action="store_true")
    given = options.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    methods = ["nothing", "query-adapter", *FORMS] if given.forms else given.methods.split(",")
    for name in given.sets.split(","):
        task = load_task(name, given.data, given.cold_share)
        print(f"\n{name}: NDCG@10, {len(task.documents)} documents, {len(task.queries)} queries")
        print(f"  {'':34} " + "".join(f"{method:20}" for method in methods))
        for protocol in given.protocols.split(","):
            run_protocol(task, protocol, methods, seeds)


if __name__ == "__main__":
    main()
