"""Fine-tuning the embedding model itself (the paper's PTFT) beside NUDGE, on the same splits.

PYTHONPATH=benchmarks .ptft/bin/python -m ptft.compare [--sets google,aws] [--models static,minilm]
    [--seeds 0,1] [--metatool FOLDER] [--results FILE] [--threads 2]

A random split, 70 % train, 10 % validation, 20 % test; NDCG@10, the gain over nothing with half of
its 95 % interval over the queries, and seconds a seed, by the clock and of the processor, of all
that a method does: for PTFT each training at each learning rate, and the documents embedded again,
which is also given alone. The settings are those of the first seed; how a training goes is told on
stderr. Results are kept in a file if one is given, so that an interrupted run goes on; runs with
other options need another file.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from common.adapter_trial import (
    MAX_SETTINGS_WIDTH,
    METRIC,
    format_cell,
    list_splits,
    score_split,
    sum_scores,
)
from common.result_cache import ResultCache
from ptft.fine_tuning import EMBEDDING_SECONDS, Schedule, fine_tune
from ptft.models import LEARNING_RATES, load_model
from ptft.text_sets import TextTask, build_task, read_texts
from threadpoolctl import threadpool_limits

from nudge_sync.evaluate.methods import train_method
from nudge_sync.evaluate.score import score_queries
from nudge_sync.evaluate.split import TEST_PART, QuerySplit
from nudge_sync.evaluate.study import Study, StudySettings

SETS = ("google", "aws", "bfcl", "code")
METHODS = ("nothing", "auto", "ptft")
PROTOCOL = "random"


def run_trial(
    study: Study,
    texts: TextTask,
    split: QuerySplit,
    method: str,
    model: str,
    schedule: Schedule,
    seed: int,
) -> dict:
    """Train a method on a split; return its metric on the test queries, in points, and its time."""
    loaded = load_model(model) if method == "ptft" else None
    wall, processor = time.perf_counter(), time.process_time()
    if loaded is None:
        trained = train_method(texts.task, split, method, METRIC, seed)
    else:
        trained = fine_tune(loaded, texts, split, schedule, seed)
    seconds = [time.perf_counter() - wall, time.process_time() - processor]
    settings = dict(trained.parameters)
    seconds.append(settings.pop(EMBEDDING_SECONDS, 0.0))
    scores = score_split(study, split, trained)[TEST_PART]
    described = " ".join(f"{name} {value}" for name, value in settings.items())
    return {"scores": scores.tolist(), "seconds": seconds, "settings": described}


def print_row(method: str, cell: str, trials: list[dict]) -> None:
    """Print the line of a method: its score, mean seconds a seed, and the settings of the first."""
    wall, processor, embedding = np.mean([trial["seconds"] for trial in trials], axis=0)
    settings = trials[0]["settings"][:MAX_SETTINGS_WIDTH]
    print(
        f"  {method:8} {cell:18} {wall:8.1f} {processor:8.1f} {embedding:8.1f}  {settings}",
        flush=True,
    )


def compare_methods(texts: TextTask, given: argparse.Namespace, model: str) -> None:
    """Print a table of one set and model."""
    task, cache = texts.task, ResultCache(given.results)
    baseline = score_queries(task.documents, task.queries, task.judgements)
    study = Study(task, StudySettings(), baseline)
    schedule = Schedule(given.rates or LEARNING_RATES[model], given.patience)
    splits = list_splits(task, PROTOCOL, [int(seed) for seed in given.seeds.split(",")])
    trials = {
        method: [
            cache.get(
                f"{task.name} {model} {method} {seed}",
                partial(run_trial, study, texts, split, method, model, schedule, seed),
            )
            for seed, split in splits
        ]
        for method in METHODS
    }
    print(f"\n{task.name}, {model}: {PROTOCOL}, {len(splits)} seed(s)")
    print(f"  {'method':8} {'NDCG@10':18} {'wall s':>8} {'CPU s':>8} {'embed s':>8}  settings")
    sums = {}
    for method, rows in trials.items():
        scores = [
            (split, {TEST_PART: row["scores"]})
            for (_, split), row in zip(splits, rows, strict=True)
        ]
        sums[method], counts = sum_scores(scores, TEST_PART, len(task.queries))
        print_row(method, format_cell(sums[method], sums[METHODS[0]], counts), rows)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sets", default=",".join(SETS))
    options.add_argument("--models", default="static")
    options.add_argument("--seeds", default="0,1,2")
    options.add_argument("--rates", type=parse_rates, help="learning rates to choose from")
    options.add_argument("--patience", type=int, default=4, help="epochs without a better score")
    options.add_argument("--metatool", type=Path, help="a checkout of HowieHwong/MetaTool")
    options.add_argument("--results", type=Path)
    options.add_argument("--cold-share", type=float, default=0.5)
    options.add_argument("--threads", type=int, default=2)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    with threadpool_limits(given.threads):
        for model, name in product(given.models.split(","), given.sets.split(",")):
            read = read_texts(name, given.metatool)
            texts = build_task(name, read, load_model(model), given.cold_share)
            compare_methods(texts, given, model)


def parse_rates(text: str) -> tuple[float, ...]:
    return tuple(float(one) for one in text.split(","))


if __name__ == "__main__":
    main()
