"""Methods of other people beside this package's, on real collections.

.venv/bin/python benchmarks/baselines.py [--sets cranfield,metatool] [--seeds 0,1] [--protocol NAME]

A protocol of `evaluate` (random: 70 % train, 10 % validation, 20 % test), NDCG@10; after each mean
the gain over nothing with half of its 95 % interval over the queries, and the settings that the
validation queries of the first seed chose. Each method tries all its settings there
(`nudge_sync/evaluate/baselines/`). nudge-ft, the authors' own package, is compared by
`solver_quality.py`, in an environment of its own. --data reads sets from a folder of your own, as
`benchmarks/unseen/build.py` writes them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from common.adapter_trial import METRIC, list_splits, load_task, print_parts, score_split
from common.solver_protocol import SETS

from nudge_sync.evaluate.methods import train_method
from nudge_sync.evaluate.protocol import PROTOCOLS
from nudge_sync.evaluate.score import score_queries
from nudge_sync.evaluate.study import Study, StudySettings

METHODS = (
    "nothing",
    "nudge-n",
    "auto",
    "query-adapter",
    "adaptor",
    "pefa-xs",
    "pefa-xl",
    "rocchio",
    "nnn",
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sets", default=",".join(SETS))
    options.add_argument("--data", type=Path)
    options.add_argument("--seeds", default="0,1,2,3,4")
    options.add_argument("--methods", default=",".join(METHODS))
    options.add_argument("--protocol", default="random", choices=PROTOCOLS)
    options.add_argument("--cold-share", type=float, default=0.5)
    given = options.parse_args()
    seeds, methods = [int(one) for one in given.seeds.split(",")], given.methods.split(",")
    for name in given.sets.split(","):
        task = load_task(name, given.data, given.cold_share)
        print(f"\n{name}, {given.protocol}: NDCG@10, {len(seeds)} seed(s)", flush=True)
        baseline = score_queries(task.documents, task.queries, task.judgements)
        study = Study(task, StudySettings(), baseline)
        splits = list_splits(task, given.protocol, seeds)
        results: dict[str, list] = {}
        for method in methods:
            trained = [train_method(task, split, method, METRIC, seed) for seed, split in splits]
            results[method] = [
                (split, score_split(study, split, one))
                for (_, split), one in zip(splits, trained, strict=True)
            ]
            print_parts(task, method, results, methods[0], trained[0].parameters)


if __name__ == "__main__":
    main()
