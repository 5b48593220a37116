"""A database in which one chosen call goes wrong; for tests.

`Faults` counts the calls that go through every `FaultyDatabase` made with it. At the chosen one it
strikes: before the call takes effect, after it, or half-way through its rows.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NoReturn, cast

from nudge_sync.connector import (
    Collection,
    Database,
    Float32,
    Hits,
    PointId,
    Points,
    Records,
    ServingCollection,
)
from nudge_sync.errors import DatabaseError, Unreachable
from nudge_sync.testing.wrapping import WrappedDatabase

When = Literal["before", "after", "half"]
"""Whether the call that goes wrong has taken no effect, all of it, or that of half its rows."""

WRITES = frozenset({"write", "put", "swap", "delete", "drop"})
"""Methods that change something; the others only read."""


class Crash(BaseException):
    """The process is gone.

    A BaseException, so that no `except` clause of the code under test runs as if it still were.
    """


def crash() -> NoReturn:
    """End this process, as far as that can be done without ending the test."""
    raise Crash


def kill() -> NoReturn:
    """End this process for good."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise Crash


def time_out() -> NoReturn:
    """Raise what a connector raises when no answer came: the call may have taken effect."""
    raise Unreachable("no answer within the time allowed")


def disk_full() -> NoReturn:
    """Raise what a connector raises when the database refuses, and will go on refusing."""
    raise DatabaseError("no space left on device")


@dataclass
class Faults:
    """Which call goes wrong, and how. Counts from 1; 0 never strikes."""

    at: int = 0
    when: When = "before"
    strike: Callable[[], object] = crash
    only: frozenset[str] = WRITES
    """Methods that are counted."""
    calls: list[str] = field(default_factory=list)
    """Every counted call so far, as `collection.method`."""
    dead: bool = False
    """Whether a crash struck: then every further call raises Crash too."""

    def run(self, name: str, call: Callable[..., Any], args: Sequence[Any], named: Any) -> Any:
        """Return what `call` returns, unless this is the call that goes wrong."""
        if self.dead:
            raise Crash
        if name.rpartition(".")[2] not in self.only:
            return call(*args, **named)
        self.calls.append(name)
        if len(self.calls) != self.at:
            return call(*args, **named)
        return self._inject_fault(call, args, named)

    def _inject_fault(self, call: Callable[..., Any], args: Sequence[Any], named: Any) -> Any:
        result = None
        if self.when == "half":
            result = call(*_halve_args(args), **named)
        elif self.when == "after":
            result = call(*args, **named)
        try:
            self.strike()
        except Crash:
            self.dead = True
            raise
        # A strike that lets the call go on: a pause.
        return call(*args, **named) if self.when == "before" else result


class FaultyDatabase(WrappedDatabase):
    """See `nudge_sync.connector.Database`; collections and records go through `faults`."""

    def __init__(self, database: Database, faults: Faults) -> None:
        super().__init__(database)
        self.faults = faults

    def collection(self, name: str, vector: str = "") -> Collection:
        """See `Database.collection`."""
        collection = super().collection(name, vector)
        kind = _FaultyServingProxy if isinstance(collection, ServingCollection) else _FaultyProxy
        return cast(Collection, kind(collection, name, self.faults))

    def records(self, name: str, dimension: int = 0, indexed: Sequence[str] = ()) -> Records:
        """See `Database.records`."""
        records = super().records(name, dimension, indexed)
        return cast(Records, _FaultyProxy(records, name, self.faults))

    def records_beside(
        self, collection: str, name: str, dimension: int = 0, indexed: Sequence[str] = ()
    ) -> Records:
        """See `ReplicatedDatabase.records_beside`."""
        records = super().records_beside(collection, name, dimension, indexed)
        return cast(Records, _FaultyProxy(records, name, self.faults))


class _FaultyProxy:
    """A collection or records, every call of which goes through `faults`."""

    def __init__(self, wrapped: object, name: str, faults: Faults) -> None:
        self._wrapped = wrapped
        self._name = name
        self._faults = faults

    def __getattr__(self, method: str) -> Any:
        return self._intercept(method)

    def _intercept(self, method: str) -> Callable[..., Any]:
        call = getattr(self._wrapped, method)
        return partial(self._run, f"{self._name}.{method}", call)

    def _run(self, name: str, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
        return self._faults.run(name, call, args, named)


class _FaultyServingProxy(_FaultyProxy):
    """A faulty `ServingCollection`, told from others by methods that are written out."""

    def serve_search(self, query: Float32, k: int, filter_: Any = None) -> Hits:
        return cast(Hits, self._intercept("serve_search")(query, k, filter_))

    def select_ids(self, ids: Sequence[PointId], filter_: Any = None) -> list[PointId]:
        return cast(list[PointId], self._intercept("select_ids")(ids, filter_))


def _halve_args(args: Sequence[Any]) -> list[Any]:
    """Return the arguments of a call with the first half of its rows; a single row stays."""
    return [_halve(each) for each in args]


def _halve(rows: Any) -> Any:
    if isinstance(rows, Points):
        middle = (len(rows) + 1) // 2
        return Points(rows.ids[:middle], rows.vectors[:middle])
    if isinstance(rows, list) or hasattr(rows, "shape"):
        sequence: list[Any] | Float32 = rows
        return sequence[: (len(sequence) + 1) // 2]
    return rows
