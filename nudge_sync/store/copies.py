"""Whether the sidecar's own collections are kept as safely as the one that they stand beside.

A cluster keeps each collection in as many copies as it was made with. Originals with fewer copies
than the vectors that were made from them can be lost while those live on, and then nothing leads
back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.connector import ReplicatedDatabase, Replication, find_replication
from nudge_sync.errors import Unreachable, UnsupportedCollection
from nudge_sync.store.retry import retry_transient
from nudge_sync.store.target import Companion, Target, list_companions

_NEEDED_FOR_ROLLBACK: tuple[Companion, ...] = ("originals", "history", "revisions")
"""Companions without which nothing can be put back."""
_COPY_SECONDS = 900.0
"""How long copies may take to be made."""
_POLL_SECONDS = 0.5
"""Between two looks at whether they are."""


@dataclass(frozen=True)
class CopiesReport:
    """How many copies there are of a collection, and of each companion."""

    collection_name: str
    collection: Replication
    companions: dict[Companion, tuple[str, Replication]]
    """The whole name of each, and its copies: those it will get, where it is not made yet."""

    def list_weaker(self) -> list[Companion]:
        """Return the companions that are kept less safely than the collection."""
        return [
            companion
            for companion, (_, replication) in self.companions.items()
            if _is_weaker(replication, self.collection)
        ]

    def find_problems(self) -> list[str]:
        """Return what is a reason not to move a point, each a sentence."""
        weaker = [each for each in self.list_weaker() if each in _NEEDED_FOR_ROLLBACK]
        return [f"{self._describe_weakness(each)}; {_CURE}" for each in weaker]

    def list_notes(self) -> list[str]:
        """Return what else is worth knowing, each a sentence."""
        weaker = [each for each in self.list_weaker() if each not in _NEEDED_FOR_ROLLBACK]
        notes = [f"{self._describe_weakness(each)}; `nudge-sync check --mend`" for each in weaker]
        everything = [(self.collection_name, self.collection), *self.companions.values()]
        return notes + [_describe_inactive(*each) for each in everything if _is_degraded(each[1])]

    def summary(self) -> dict[str, Any]:
        """Return the field `copies` of `check --json`: by the name of each collection."""
        everything = [(self.collection_name, self.collection), *self.companions.values()]
        return {name: asdict(replication) for name, replication in everything}

    def _describe_weakness(self, companion: Companion) -> str:
        name, replication = self.companions[companion]
        return (
            f'"{name}" is kept less safely than "{self.collection_name}": '
            f"{_describe(replication)}, not {_describe(self.collection)}"
        )


_CURE = (
    "`nudge-sync check --mend` makes the copies that are missing (unless [database] asks for "
    "fewer), and write.allow_fewer_copies = true goes on without them"
)
"""What can be done about originals with too few copies."""


def read_copies(target: Target) -> CopiesReport | None:
    """Return how many copies there are; None where the database keeps none, or does not say."""

    def read(name: str, beside: str = "") -> Replication | None:
        return retry_transient(
            lambda: find_replication(target.database, name, beside), patience=target.patience
        )

    collection_name = target.facts.collection
    collection = read(collection_name)
    if collection is None:
        return None
    companions: dict[Companion, tuple[str, Replication]] = {}
    for companion, name in list_companions(target).items():
        replication = read(name, collection_name)
        if replication is not None:
            companions[companion] = (name, replication)
    return CopiesReport(collection_name, collection, companions)


def refuse_fewer_copies(target: Target, *, allow_fewer: bool) -> None:
    """Raise UnsupportedCollection where what leads back has fewer copies than the collection."""
    report = None if allow_fewer else read_copies(target)
    problems = report.find_problems() if report else []
    if problems:
        raise UnsupportedCollection("; ".join(problems))


def make_missing_copies(target: Target, progress: Progress = ignore_progress) -> list[str]:
    """Give each companion that there is the copies of the collection, and wait until it has them.

    Returns what was done, a sentence each. Only adds copies, beside running cycles too.
    Raises UnsupportedCollection where the cluster has too few nodes, Unreachable where it takes
    more than a quarter of an hour.
    """
    report = read_copies(target)
    if report is None:
        return []
    done: list[str] = []
    for companion in report.list_weaker():
        name, replication = report.companions[companion]
        wanted = _raise_to(replication, report.collection)
        for sentence in _replicate(target, name, wanted):
            progress("copy", len(done), len(done) + 1)
            done.append(sentence)
    return done


def _replicate(target: Target, name: str, wanted: Replication) -> Iterator[str]:
    """Begin to copy, yield what was begun, and end once all of it is done."""
    database = target.database
    if not isinstance(database, ReplicatedDatabase) or find_replication(database, name) is None:
        return
    deadline = time.monotonic() + _COPY_SECONDS
    reported: set[str] = set()
    while begun := retry_transient(
        lambda: database.replicate(name, wanted), patience=target.patience
    ):
        for sentence in begun:
            if sentence not in reported:
                yield sentence
        reported.update(begun)
        if time.monotonic() > deadline:
            raise Unreachable(f'"{name}" is still being copied; look again later')
        time.sleep(_POLL_SECONDS)


def _raise_to(replication: Replication, least: Replication) -> Replication:
    return replace(
        replication,
        factor=max(replication.factor, least.factor, least.replicas),
        write_consistency=max(replication.write_consistency, least.write_consistency),
    )


def _is_weaker(replication: Replication, least: Replication) -> bool:
    return (
        replication.factor < least.factor
        or replication.replicas < least.replicas
        or replication.write_consistency < least.write_consistency
    )


def _is_degraded(replication: Replication) -> bool:
    return replication.active < max(replication.replicas, replication.factor)


def _describe(replication: Replication) -> str:
    copies = f"{replication.replicas} of {replication.factor} copies"
    if replication.replicas == replication.factor:
        copies = f"{replication.factor} {'copy' if replication.factor == 1 else 'copies'}"
    return f"{copies} (a write needs {replication.write_consistency})"


def _describe_inactive(name: str, replication: Replication) -> str:
    return (
        f'"{name}": a shard has {replication.active} active '
        f"{'copy' if replication.active == 1 else 'copies'} of {replication.factor}; is a node "
        "down, or were copies asked for and never made?"
    )
