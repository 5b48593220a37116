"""The tables of the NUDGE paper (Zeighami et al., ICLR 2025) with this package's methods.

.paper/bin/python benchmarks/paper.py --cache FOLDER [--sets nfcorpus] [--models MODEL]
.paper/bin/python benchmarks/paper.py --cache FOLDER --local FOLDER [--sets NAME]

Text sets are the authors' own, with their splits, from Hugging Face (`sepz/SET_ft`, through
`datasets`), embedded by fastembed. --local reads sets from a folder instead of the hub, each in a
folder of its own: either those tables (data_records.parquet, and qs_SPLIT.parquet and
qs_rel_SPLIT.parquet for train, dev and test), or vectors as `nudge-sync evaluate` reads them, which
are split 70 / 10 / 20; so come image sets, with the vectors of CLIP, and any other model. Vectors
and results are kept in the cache, so that an interrupted run goes on. Beside our rows stand the
authors' where they published some: averages over all sets of a kind, by model.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from common.result_cache import ResultCache
from common.solver_protocol import (
    METRICS,
    Dataset,
    load_dataset,
    measure_metrics,
    normalise_rows,
    split_queries,
)
from pyarrow import parquet

from nudge_sync.evaluate.methods import EvaluatedMethod, train_method
from nudge_sync.evaluate.sources.beir import TextDataset
from nudge_sync.evaluate.sources.embedding import (
    EmbeddingModel,
    embed_dataset,
    find_embedded_dataset,
    load_fastembed_model,
)
from nudge_sync.evaluate.split import TEST_PART, QuerySplit
from nudge_sync.evaluate.task import EvaluationTask

TEXT_SETS = ("scifact", "nfcorpus", "arguana", "fever", "nq", "triviaqa", "hotpotqa")
MODELS = ("BAAI/bge-small-en-v1.5", "thenlper/gte-large")
METHODS: tuple[EvaluatedMethod, ...] = (
    "nothing",
    "nudge-m",
    "nudge-n",
    "auto",
    "adaptor",
    "query-adapter",
)
SPLITS = ("train", "dev", "test")
VECTORS = "vectors"
"""What stands for the model of a set that comes as vectors."""
PUBLISHED = {
    "BAAI/bge-small-en-v1.5": {
        "nothing": (48.65, 62.41, 37.01),
        "adaptor": (51.63, 65.47, 39.54),
        "nudge-m": (57.17, 66.61, 49.70),
        "nudge-n": (61.27, 72.50, 52.08),
    },
    "Alibaba-NLP/gte-large-en-v1.5": {
        "nothing": (53.21, 67.03, 41.58),
        "adaptor": (55.63, 68.44, 45.15),
        "nudge-m": (61.21, 73.39, 52.09),
        "nudge-n": (62.70, 74.71, 53.41),
    },
    "clip-vit-base-patch32": {
        "nothing": (26.85, 40.16, 15.87),
        "adaptor": (29.88, 43.50, 18.48),
        "nudge-m": (40.93, 55.07, 28.64),
        "nudge-n": (41.12, 55.36, 28.80),
    },
    "clip-vit-large-patch14": {
        "nothing": (32.46, 46.53, 20.48),
        "adaptor": (36.48, 50.88, 24.12),
        "nudge-m": (43.18, 58.12, 30.13),
        "nudge-n": (43.28, 58.24, 30.10),
    },
}
"""NDCG@10, recall@10 and recall@1 in percent: means over seven text or two image sets, from the
README of github.com/szeighami/nudge ("Running End to End Experiments")."""


def read_tables(name: str, local: Path | None):
    """Return the documents' table, and queries and judgements by split, as lists of columns."""
    if local is None:
        from datasets import load_dataset as load_hub_dataset  # noqa: PLC0415

        def read(config: str, split: str) -> dict[str, list]:
            return load_hub_dataset(f"sepz/{name}_ft", config, split=split).to_dict()

        documents = read("data_records", "train")
        return documents, {one: (read("qs", one), read("qs_rel", one)) for one in SPLITS}

    def read_file(file: str) -> dict[str, list]:
        return parquet.read_table(local / name / f"{file}.parquet").to_pydict()

    parts = {one: (read_file(f"qs_{one}"), read_file(f"qs_rel_{one}")) for one in SPLITS}
    return read_file("data_records"), parts


def build_text_dataset(name: str, tables) -> TextDataset:
    """Return a set whose query ids begin with their split, as `split_by_ids` expects."""
    documents, parts = tables
    ids = documents.get("record_id", range(len(documents["text"])))
    qrels = [
        (f"{split}-{query}", str(document), float(grade))
        for split, (_, judged) in parts.items()
        for query, document, grade in zip(
            judged["q_id"], judged["record_id"], judged["rel"], strict=True
        )
    ]
    answered = {query for query, _, _ in qrels}
    queries = [
        (f"{split}-{query}", text)
        for split, (asked, _) in parts.items()
        for query, text in zip(asked["q_id"], asked["input"], strict=True)
        if f"{split}-{query}" in answered
    ]

    def iterate_documents() -> Iterator[tuple[str, str]]:
        yield from ((str(one), text) for one, text in zip(ids, documents["text"], strict=True))

    return TextDataset(name, iterate_documents, queries, qrels)


def embed_set(name: str, model: EmbeddingModel | str, cache: Path, local: Path | None) -> Path:
    """Return the folder with the vectors of a text set, embedded unless that was done before.

    model: one of fastembed's, by name, or one that is loaded.
    """
    model_name = model if isinstance(model, str) else model.name
    folder = find_embedded_dataset(cache, name, model_name)
    if folder is not None:
        return folder
    loaded = load_fastembed_model(model) if isinstance(model, str) else model
    return embed_dataset(build_text_dataset(name, read_tables(name, local)), loaded, cache)


def split_by_ids(folder: Path) -> QuerySplit:
    """Return the authors' split, which the ids of the queries begin with."""
    ids = (folder / "queries.txt").read_text().split()
    rows = {
        one: np.array([i for i, id_ in enumerate(ids) if id_.startswith(one)]) for one in SPLITS
    }
    return QuerySplit(rows["train"], rows["dev"], {TEST_PART: rows["test"]})


def build_task(name: str, data: Dataset) -> EvaluationTask:
    rows = np.arange(len(data.queries))
    return EvaluationTask(
        name,
        normalise_rows(data.documents).astype(np.float32),
        normalise_rows(data.queries).astype(np.float32),
        data.relevant(rows),
        [str(row) for row in range(len(data.documents))],
        [str(row) for row in rows],
    )


def run_method(folder: Path, method: EvaluatedMethod) -> dict[str, float]:
    """Train a method on a set of vectors, and return its metrics on the test queries."""
    data = load_dataset(folder.name, folder.parent)
    if (folder / "queries.txt").read_text().startswith(SPLITS):
        split = split_by_ids(folder)
    else:
        train, validation, test = split_queries(len(data.queries), 0)
        split = QuerySplit(train, validation, {TEST_PART: test})
    trained = train_method(build_task(folder.name, data), split, method, "ndcg@10", 0)
    test = split.tests[TEST_PART]
    return measure_metrics(trained.documents, trained.queries[test], data.relevance[test])


def print_rows(title: str, rows: dict[str, dict[str, float]], published=None) -> None:
    print(f"\n{title}: {' / '.join(METRICS)}")
    for method, values in rows.items():
        figures = " / ".join(f"{values[metric]:.2f}" for metric in METRICS)
        theirs = (published or {}).get(method)
        beside = "   published " + " / ".join(f"{one:.2f}" for one in theirs) if theirs else ""
        print(f"  {method:14} {figures}{beside}", flush=True)


def run_model(given, cache: ResultCache, model: EmbeddingModel | str, sets: list[str]) -> None:
    """Print a table a set, and the means over the sets beside the published ones."""
    name = model if isinstance(model, str) else model.name
    results = {}
    for one in sets:
        if name == VECTORS:
            folder = given.local / one
        else:
            folder = embed_set(one, model, given.cache, given.local)
        results[one] = {
            method: cache.get(f"{name} {one} {method}", partial(run_method, folder, method))
            for method in given.methods.split(",")
        }
        print_rows(f"{one}, {name}", results[one])
    means = {
        method: {m: float(np.mean([rows[method][m] for rows in results.values()])) for m in METRICS}
        for method in given.methods.split(",")
    }
    label = given.published or name
    note = "" if label not in PUBLISHED else "; published: all sets of the paper"
    print_rows(f"mean of {len(sets)} sets, {name}{note}", means, PUBLISHED.get(label))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cache", type=Path, required=True)
    options.add_argument("--local", type=Path)
    options.add_argument("--sets", default=",".join(TEXT_SETS))
    options.add_argument("--models", default=",".join(MODELS))
    options.add_argument("--methods", default=",".join(METHODS))
    options.add_argument("--published", help="whose published rows to print beside, for vectors")
    given = options.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    cache = ResultCache(given.cache / "results.jsonl")
    sets = given.sets.split(",")
    is_vectors = given.local is not None and (given.local / sets[0] / "documents.npy").exists()
    for model in [VECTORS] if is_vectors else given.models.split(","):
        run_model(given, cache, model, sets)


if __name__ == "__main__":
    main()
