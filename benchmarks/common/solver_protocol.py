"""The collections in ../shared/data (or NUDGE_SYNC_SHARED) and the paper's protocol on them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

SETS = ("nfcorpus", "metatool", "cranfield", "squad")
SEEDS = range(5)
METRICS = ("ndcg@10", "recall@10", "recall@1")


@dataclass(frozen=True)
class Dataset:
    documents: np.ndarray
    queries: np.ndarray
    relevance: csr_matrix

    def relevant(self, rows):
        """Return for each query of `rows`: document row -> grade."""
        part = self.relevance[rows]
        edges = zip(part.indptr[:-1], part.indptr[1:], strict=True)
        return [
            dict(zip(part.indices[a:b].tolist(), part.data[a:b].tolist(), strict=True))
            for a, b in edges
        ]


def find_data_folder() -> Path:
    beside = Path(__file__).resolve().parents[3] / "shared"
    return Path(os.environ.get("NUDGE_SYNC_SHARED", beside)) / "data"


def load_dataset(name: str, folder: Path | None = None) -> Dataset:
    """Read a set: one of SETS, or the one of this name in `folder`."""
    where = find_data_folder() / f"{name}-minilm" if folder is None else folder / name
    documents, queries = (np.load(where / f"{kind}.npy") for kind in ("documents", "queries"))
    row_numbers = {
        kind: {name: row for row, name in enumerate((where / f"{kind}.txt").read_text().split())}
        for kind in ("documents", "queries")
    }
    lines = [line.split("\t") for line in (where / "qrels.tsv").read_text().splitlines()]
    rows = [row_numbers["queries"][query] for query, _, _ in lines]
    columns = [row_numbers["documents"][document] for _, document, _ in lines]
    grades = [float(grade) for _, _, grade in lines]
    shape = (len(queries), len(documents))
    return Dataset(documents, queries, csr_matrix((grades, (rows, columns)), shape=shape))


def normalise_rows(rows: np.ndarray) -> np.ndarray:
    """Return `rows` (n, d) at unit length, in their own type."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def split_queries(count: int, seed: int):
    """Return the rows of 70 % of the queries to train, 10 % to validate and 20 % to test."""
    order = np.random.default_rng(seed).permutation(count)
    first, second = int(0.7 * count), int(0.8 * count)
    return order[:first], order[first:second], order[second:]


def split_query_groups(relevance: csr_matrix, seed: int):
    """Return 70 %, 10 % and 20 % of the queries, those with identical judgements in one part."""
    keys = [
        tuple(relevance.indices[a:b])
        for a, b in zip(relevance.indptr[:-1], relevance.indptr[1:], strict=True)
    ]
    groups = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    parts = split_queries(len(groups), seed)
    member = np.array([groups[key] for key in keys])
    return tuple(np.flatnonzero(np.isin(member, part)) for part in parts)


def split_query_clusters(queries: np.ndarray, seed: int, rounds: int = 50) -> np.ndarray:
    """Return which queries lie in the first of two clusters by k-means: a mask, (q,)."""
    centres = queries[np.random.default_rng(seed).choice(len(queries), 2, replace=False)]
    for _ in range(rounds):
        nearest_centre = np.argmax(queries @ centres.T, axis=1)
        means = [queries[nearest_centre == cluster].mean(axis=0) for cluster in (0, 1)]
        centres = normalise_rows(np.stack(means))
    return nearest_centre == 0


def measure_metrics(documents, queries, relevance) -> dict[str, float]:
    """Return means over queries by a full ranking, without any code of the package."""
    totals = dict.fromkeys(METRICS, 0.0)
    discount = 1 / np.log2(np.arange(2, 12))
    for low in range(0, len(queries), 256):
        scores = queries[low : low + 256] @ documents.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        grades = relevance[low : low + 256].toarray()
        ranked_grades = np.take_along_axis(grades, order, axis=1)
        ideal = -np.sort(-grades, axis=1)[:, :10]
        totals["ndcg@10"] += ((ranked_grades @ discount) / (ideal @ discount)).sum()
        reachable = np.minimum((grades > 0).sum(axis=1), 10)
        totals["recall@10"] += ((ranked_grades > 0).sum(axis=1) / reachable).sum()
        totals["recall@1"] += (ranked_grades[:, 0] > 0).sum()
    return {name: 100 * total / len(queries) for name, total in totals.items()}
