"""A restore drill: what a rollback would need, restored into a scratch collection and compared."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nudge_sync.base.progress import Progress, silent
from nudge_sync.connector import PointId, Record, Records
from nudge_sync.errors import DamagedRecord
from nudge_sync.store import schema
from nudge_sync.store.retry import patient_records
from nudge_sync.store.schema import HistoryLine, OriginalLine
from nudge_sync.store.target import Target

SAMPLE = 1000
"""Records of each kind that are restored if nothing else is said."""
_BATCH = 500
_MOST_NAMED = 1000


@dataclass
class Drilled:
    """What was restored, and what a rollback could not have used."""

    originals: int = 0
    history: int = 0
    """Records looked at."""
    identical: int = 0
    """Restored, read back and found the same, every bit."""
    gone: int = 0
    """Deleted by a cycle or `gc` in the meantime."""
    damaged: list[str] = field(default_factory=list)
    """Records that fail their digest or have another shape, each with its collection."""
    differing: list[str] = field(default_factory=list)
    """Restored, but read back differently."""
    baseless: list[str] = field(default_factory=list)
    """History whose original is not kept: rolling back past it would find nothing."""

    @property
    def ok(self) -> bool:
        """Whether everything looked at can be restored."""
        return not (self.damaged or self.differing or self.baseless)

    def summary(self) -> dict[str, Any]:
        """The `drill` field of `verify --json`."""
        return {**self.__dict__, "ok": self.ok}


def drill(
    target: Target,
    sample: int = SAMPLE,
    rng: np.random.Generator | None = None,
    progress: Progress = silent,
) -> Drilled:
    """Restore up to `sample` originals and as many history records, and compare every bit.

    Writes to `<place>__nudge_drill` alone, which is gone afterwards; needs no lease, and may run
    beside cycles. sample: 0 means all. Raises DatabaseError, and what `progress` raises.
    """
    chosen = rng or np.random.default_rng()
    found, bases = Drilled(), set[tuple[PointId, str]]()
    originals, history = target.originals, target.history
    kept = _picked(_keys(originals, bases), sample, chosen)
    noted = _picked(_keys(history, None), sample, chosen)
    found.originals, found.history = len(kept), len(noted)
    total = len(kept) + len(noted)
    with _scratch(target) as scratch:
        for done, records, keys, line in _batches(originals, kept, history, noted):
            progress("drill", done, total)
            whole = _whole(records, keys, line, target.place, found)
            if line is HistoryLine:
                found.baseless += _baseless(whole, bases)
            _restore(scratch, whole, found)
    progress("drill", total, total)
    return found


def scratch_of(target: Target) -> Records:
    """The scratch collection's records."""
    name = f"{target.place}__nudge_drill"
    return patient_records(target.database.records(name, target.facts.dimension))


@contextmanager
def _scratch(target: Target) -> Iterator[_Scratch]:
    scratch = _Scratch(scratch_of(target), secrets.token_hex(8))
    try:
        yield scratch
    finally:
        scratch.clear()


class _Scratch:
    """Keys of one drill: another one may run at the same time."""

    def __init__(self, records: Records, token: str) -> None:
        self._records = records
        self._token = token
        self._keys: list[str] = []

    def restored(self, records: Sequence[Record]) -> dict[str, Record]:
        """What comes back of `records`, by their own keys."""
        own = {f"{self._token}:{record.key}": record for record in records}
        self._keys = [*own]
        self._records.put([replace(record, key=key) for key, record in own.items()])
        back = self._records.get(self._keys)
        return {own[record.key].key: record for record in back}

    def empty(self) -> None:
        """Delete what was restored last."""
        self._records.delete(self._keys)
        self._keys = []

    def clear(self) -> None:
        """Leave nothing behind, but for what another drill has there."""
        self.empty()
        if not self._records.count():
            self._records.drop()


def _keys(records: Records, bases: set[tuple[PointId, str]] | None) -> list[str]:
    """All keys; into `bases` goes what the originals are of, as far as that can be read."""
    keys: list[str] = []
    for batch in records.scan(vectors=False):
        keys += [record.key for record in batch]
        if bases is not None:
            bases |= {
                (record.document["id"], record.document["vector"])
                for record in batch
                if isinstance(record.document.get("id"), int | str)
                and isinstance(record.document.get("vector"), str)
            }
    return sorted(keys)


def _picked(keys: list[str], sample: int, rng: np.random.Generator) -> list[str]:
    if not sample or len(keys) <= sample:
        return keys
    return [keys[row] for row in sorted(rng.choice(len(keys), sample, replace=False).tolist())]


def _batches(
    originals: Records, kept: list[str], history: Records, noted: list[str]
) -> Iterator[tuple[int, Records, list[str], type[OriginalLine | HistoryLine]]]:
    done = 0
    for records, keys, line in ((originals, kept, OriginalLine), (history, noted, HistoryLine)):
        for start in range(0, len(keys), _BATCH):
            part = keys[start : start + _BATCH]
            yield done, records, part, line
            done += len(part)


def _whole(
    records: Records,
    keys: list[str],
    line: type[OriginalLine | HistoryLine],
    place: str,
    found: Drilled,
) -> list[Record]:
    stored = records.get(keys)
    found.gone += len(keys) - len(stored)
    kind = f"{place}__nudge_{'originals' if line is OriginalLine else 'history'}"
    whole = []
    for record in stored:
        try:
            whole += schema.opened([record], kind, line, vectors=True)
        except DamagedRecord:
            _name(found.damaged, f"{kind} {record.key}")
    return whole


def _baseless(history: list[Record], bases: set[tuple[PointId, str]]) -> list[str]:
    return [
        record.key
        for record in history
        if (record.document["id"], record.document["original"]) not in bases
    ]


def _restore(scratch: _Scratch, records: list[Record], found: Drilled) -> None:
    if not records:
        return
    back = scratch.restored(records)
    for record in records:
        if record.key in back and _same(back[record.key], record):
            found.identical += 1
        else:
            _name(found.differing, record.key)
    scratch.empty()


def _same(left: Record, right: Record) -> bool:
    if left.vector is None or right.vector is None:
        return False
    return left.document == right.document and left.vector.tobytes() == right.vector.tobytes()


def _name(named: list[str], key: str) -> None:
    if len(named) < _MOST_NAMED:
        named.append(key)
