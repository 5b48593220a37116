"""What a worker is sent, and how it runs it: the same way, and to the same bits, as here."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from threading import Lock
from typing import Any

import numpy as np

from nudge_sync.base.threads import limit_threads
from nudge_sync.errors import ComputeFailed

_PACKAGES = ("nudge-sync", "numpy", "scipy")
_PROBE_SHAPES = ((67, 384, 301), (600, 100, 900), (5000, 384, 13))
"""Matrix products, rows x inner x columns, whose bits were seen to depend on the number of threads
or the kind of processor."""
_one_at_a_time = Lock()
"""A worker of several threads runs one task at a time: how many threads compute holds for all of
a process, and tasks fill the caches of what they share."""


@dataclass(frozen=True, slots=True)
class Task:
    """A function and the item it is applied to."""

    work: Callable[[Any, Any], Any]
    item: Any
    threads: int
    """The threads to compute on: bits depend on their number."""
    environment: dict[str, str]
    """What `describe_environment` returns where the task comes from."""


def run_task(shared: Any, task: Task) -> Any:
    """Return `work(shared, item)`, computed in a worker.

    Raises ComputeFailed where the worker would come to other bits, and what `work` raises.
    """
    with _one_at_a_time, limit_threads(task.threads):
        differences = [
            f"{name} {own} instead of {task.environment.get(name)}"
            for name, own in describe_environment(task.threads).items()
            if own != task.environment.get(name)
        ]
        if differences:
            raise ComputeFailed(
                f"the worker on {platform.node()} would compute something else: it has "
                f"{', '.join(differences)}; give all workers the packages and the kind of "
                "processor of this machine"
            )
        return task.work(shared, task.item)


@cache
def describe_environment(threads: int) -> dict[str, str]:
    """Return the versions that decide about bits, and a digest of what is computed with them.

    threads: how many this thread computes on, by `limit_threads`.
    """
    versions = {package: version(package) for package in _PACKAGES}
    python = ".".join(platform.python_version_tuple()[:2])
    return {"Python": python, **versions, f"arithmetic on {threads} threads": _probe_arithmetic()}


def _probe_arithmetic() -> str:
    """Return a digest of some matrix products, exponentials and sums."""
    random, digest = np.random.default_rng(0), hashlib.blake2b(digest_size=8)
    for row_count, inner, column_count in _PROBE_SHAPES:
        left, right = (
            random.normal(size=(row_count, inner)),
            random.normal(size=(inner, column_count)),
        )
        for kind in (np.float32, np.float64):
            product = left.astype(kind) @ right.astype(kind)
            for result in (product, np.exp(-np.abs(product)), product.T @ left.astype(kind)):
                digest.update(result.tobytes())
                digest.update(result.sum(axis=0).tobytes())
    return digest.hexdigest()
