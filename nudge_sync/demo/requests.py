"""The data of the demo: which tool answers which request, as embeddings (see data/NOTICE)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Float32

TRAIN_SHARE = 0.8
"""Share of the requests that become feedback; nothing sees the rest before it is measured."""


@dataclass(frozen=True)
class Requests:
    """Requests and the rows of the tools that answer them."""

    names: list[str]
    vectors: Float32
    """(q, d), unit rows."""
    answers: list[frozenset[int]]

    def select(self, rows: NDArray[np.int64]) -> Requests:
        """Those of `rows`, in that order."""
        names = [self.names[row] for row in rows]
        return Requests(names, self.vectors[rows], [self.answers[row] for row in rows])


@dataclass(frozen=True)
class Tools:
    """The collection: names and embeddings (n, d), unit rows."""

    names: list[str]
    vectors: Float32


def load_demo_data() -> tuple[Tools, Requests]:
    """What ships in the package."""
    path = files("nudge_sync.demo").joinpath("data", "metatool.npz")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        tools = Tools(arrays["document_names"].tolist(), _to_unit_rows(arrays["documents"]))
        return tools, _build_requests(arrays)


def _build_requests(arrays: Mapping[str, Any]) -> Requests:
    answers: list[set[int]] = [set() for _ in arrays["query_names"]]
    for query, tool in arrays["relevant"].tolist():
        answers[query].add(tool)
    names = arrays["query_names"].tolist()
    return Requests(names, _to_unit_rows(arrays["queries"]), [frozenset(rows) for rows in answers])


def split_requests(requests: Requests) -> tuple[Requests, Requests]:
    """The part that becomes feedback, and the part that only measures."""
    order = np.random.default_rng(0).permutation(len(requests.names))
    train_count = int(TRAIN_SHARE * len(order))
    return requests.select(order[:train_count]), requests.select(order[train_count:])


def _to_unit_rows(stored: NDArray[np.float16]) -> Float32:
    rows = stored.astype(np.float64)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
