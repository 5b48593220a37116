"""The data of the demo: which tool answers which request, as embeddings (see data/NOTICE)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Float32, Int64
from nudge_sync.solve.geometry import to_float32, unit

TRAIN_SHARE = 0.8
"""Share of the requests that become feedback; the others only measure."""


@dataclass(frozen=True)
class Requests:
    """Requests, and which tools answer them."""

    names: list[str]
    vectors: Float32
    """(q, d), unit rows."""
    answers: list[frozenset[int]]
    """The rows of the tools that answer each request."""

    def select(self, rows: Int64) -> Requests:
        """Return the requests `rows`, in that order."""
        names = [self.names[row] for row in rows]
        return Requests(names, self.vectors[rows], [self.answers[row] for row in rows])


@dataclass(frozen=True)
class Tools:
    """The collection: names and embeddings (n, d), unit rows."""

    names: list[str]
    vectors: Float32


def load_demo_data() -> tuple[Tools, Requests]:
    """Return the tools and requests that ship in the package."""
    path = files("nudge_sync.demo").joinpath("data", "metatool.npz")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        vectors = to_float32(unit(arrays["documents"]))
        return Tools(arrays["document_names"].tolist(), vectors), _build_requests(arrays)


def _build_requests(arrays: Mapping[str, Any]) -> Requests:
    answers: list[set[int]] = [set() for _ in arrays["query_names"]]
    for query, tool in arrays["relevant"].tolist():
        answers[query].add(tool)
    names = arrays["query_names"].tolist()
    vectors = to_float32(unit(arrays["queries"]))
    return Requests(names, vectors, [frozenset(rows) for rows in answers])


def split_requests(requests: Requests) -> tuple[Requests, Requests]:
    """Return the requests that become feedback, and those that only measure."""
    order = np.random.default_rng(0).permutation(len(requests.names))
    train_count = int(TRAIN_SHARE * len(order))
    return requests.select(order[:train_count]), requests.select(order[train_count:])
