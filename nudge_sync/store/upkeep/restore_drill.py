"""A restore drill: what a rollback would need, restored into a scratch collection and compared."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nudge_sync.base.progress import Progress, ignore_progress
from nudge_sync.connector import PointId, Record, Records
from nudge_sync.errors import DamagedRecord
from nudge_sync.store import schema
from nudge_sync.store.history import History
from nudge_sync.store.retry import RetryingRecords
from nudge_sync.store.schema import HistoryDocument, OriginalDocument
from nudge_sync.store.shadow import Shadow
from nudge_sync.store.target import Target

DEFAULT_SAMPLE_SIZE = 1000
"""Records of each kind that are restored if nothing else is said."""
_BATCH_SIZE = 500
_MAX_NAMED_RECORDS = 1000
_MAX_ATTEMPTS = 3
"""How often a record is stored that is gone when it is read back: another drill that ends at this
moment, or `gc`, drops the collection that all share."""


@dataclass
class DrillReport:
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
    def is_restorable(self) -> bool:
        """Whether everything looked at can be restored."""
        return not (self.damaged or self.differing or self.baseless)

    def summary(self) -> dict[str, Any]:
        """Return the `drill` field of `verify --json`."""
        return {**self.__dict__, "ok": self.is_restorable}


@dataclass(frozen=True)
class _Batch:
    """Some records of the shadow or the history, by their keys."""

    store: Shadow | History
    model: type[OriginalDocument | HistoryDocument]
    keys: list[str]


def run_drill(
    target: Target,
    sample_size: int = DEFAULT_SAMPLE_SIZE,
    rng: np.random.Generator | None = None,
    progress: Progress = ignore_progress,
) -> DrillReport:
    """Restore a sample of originals and of history into a scratch collection; compare every bit.

    sample_size: of each kind, at most; 0 means all. Writes to `<prefix>__nudge_drill` alone, which
    is gone afterwards; needs no lease, and may run beside cycles.
    Raises DatabaseError, and what `progress` raises.
    """
    rng = rng or np.random.default_rng()
    shadow, history = target.shadow, target.history
    # History first: a cycle beside stores the originals of what it notes in the history before.
    history_keys = _read_keys(history.records)
    original_keys, known_originals = _read_originals(shadow.records)
    original_keys = _sample_keys(original_keys, sample_size, rng)
    history_keys = _sample_keys(history_keys, sample_size, rng)
    report = DrillReport(originals=len(original_keys), history=len(history_keys))
    total = report.originals + report.history
    batches = [
        *_split_batches(shadow, OriginalDocument, original_keys),
        *_split_batches(history, HistoryDocument, history_keys),
    ]
    done = 0
    with _open_scratch(target) as scratch:
        for batch in batches:
            progress("drill", done, total)
            intact = _read_intact(batch, report)
            if batch.model is HistoryDocument:
                report.baseless += _find_baseless(intact, known_originals)
            _restore_and_compare(scratch, intact, report)
            done += len(batch.keys)
    progress("drill", total, total)
    return report


def open_scratch_records(target: Target, dimension: int | None = None) -> Records:
    """Return the records of the scratch collection that drills share.

    dimension: of the vectors to store; the collection's if absent.
    """
    collection_name = f"{target.prefix}__nudge_drill"
    size = target.facts.dimension if dimension is None else dimension
    return RetryingRecords(target.database.records(collection_name, size))


@contextmanager
def _open_scratch(target: Target) -> Iterator[_ScratchCollection]:
    scratch = _ScratchCollection(target, secrets.token_hex(8))
    try:
        yield scratch
    finally:
        scratch.close()


class _ScratchCollection:
    """The keys of one drill in the scratch collection; other drills may run at the same time."""

    def __init__(self, target: Target, token: str) -> None:
        self._target = target
        self._records = open_scratch_records(target)
        self._token = token
        self._keys: list[str] = []

    def restore(self, records: Sequence[Record]) -> dict[str, Record]:
        """Store copies of `records`, and return what is read back, by their own keys."""
        remaining = {f"{self._token}:{record.key}": record for record in records}
        self._keys = [*remaining]
        restored: dict[str, Record] = {}
        for _ in range(_MAX_ATTEMPTS):
            self._put([replace(record, key=key) for key, record in remaining.items()])
            for record in self._records.get([*remaining]):
                restored[remaining.pop(record.key).key] = record
            if not remaining:
                break
        return restored

    def _put(self, copies: Sequence[Record]) -> None:
        """Store copies of records, whose vectors may be of several dimensions."""
        by_dimension: defaultdict[int, list[Record]] = defaultdict(list)
        for copy in copies:
            by_dimension[0 if copy.vector is None else len(copy.vector)].append(copy)
        for dimension, alike in by_dimension.items():
            open_scratch_records(self._target, dimension).put(alike)

    def delete_restored(self) -> None:
        """Delete what was restored last."""
        self._records.delete(self._keys)
        self._keys = []

    def close(self) -> None:
        """Delete what was restored, and the collection unless another drill uses it."""
        self.delete_restored()
        if not self._records.count():
            self._records.drop()


def _read_keys(records: Records) -> list[str]:
    return sorted(record.key for batch in records.scan(vectors=False) for record in batch)


def _read_originals(records: Records) -> tuple[list[str], set[tuple[PointId, str]]]:
    """Return all keys, and the point and the vector's digest of each original that is readable."""
    keys: list[str] = []
    known: set[tuple[PointId, str]] = set()
    for batch in records.scan(vectors=False):
        keys += [record.key for record in batch]
        for document in (record.document for record in batch):
            point, digest = document.get("id"), document.get("vector")
            if isinstance(point, int | str) and isinstance(digest, str):
                known.add((point, digest))
    return sorted(keys), known


def _sample_keys(keys: list[str], sample_size: int, rng: np.random.Generator) -> list[str]:
    if not sample_size or len(keys) <= sample_size:
        return keys
    return [keys[row] for row in sorted(rng.choice(len(keys), sample_size, replace=False).tolist())]


def _split_batches(
    store: Shadow | History, model: type[OriginalDocument | HistoryDocument], keys: list[str]
) -> Iterator[_Batch]:
    for start in range(0, len(keys), _BATCH_SIZE):
        yield _Batch(store, model, keys[start : start + _BATCH_SIZE])


def _read_intact(batch: _Batch, report: DrillReport) -> list[Record]:
    stored = batch.store.records.get(batch.keys)
    report.gone += len(batch.keys) - len(stored)
    collection_name = batch.store.collection_name
    intact = []
    for record in stored:
        try:
            intact += schema.validate_records([record], collection_name, batch.model, vectors=True)
        except DamagedRecord:
            _add_name(report.damaged, f"{collection_name} {record.key}")
    return intact


def _find_baseless(records: list[Record], original_digests: set[tuple[PointId, str]]) -> list[str]:
    return [
        record.key
        for record in records
        if (record.document["id"], record.document["original"]) not in original_digests
    ]


def _restore_and_compare(
    scratch: _ScratchCollection, records: list[Record], report: DrillReport
) -> None:
    if not records:
        return
    restored = scratch.restore(records)
    for record in records:
        if record.key in restored and _is_same_record(restored[record.key], record):
            report.identical += 1
        else:
            _add_name(report.differing, record.key)
    scratch.delete_restored()


def _is_same_record(left: Record, right: Record) -> bool:
    if left.vector is None or right.vector is None:
        return False
    return left.document == right.document and left.vector.tobytes() == right.vector.tobytes()


def _add_name(names: list[str], key: str) -> None:
    if len(names) < _MAX_NAMED_RECORDS:
        names.append(key)
