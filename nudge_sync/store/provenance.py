"""Whose a live vector is, ours or the application's, and what each point's original is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Float32, PointId, Points, Record
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.errors import DamagedRecord
from nudge_sync.store import checksum
from nudge_sync.store.ledger import Ledger, Revision, find_head, trace_lineage
from nudge_sync.store.lost_revisions import refuse_lost_revisions
from nudge_sync.store.shadow import OriginalsByPoint, StoredOriginal
from nudge_sync.store.target import Target

_WITHOUT_HISTORY = (
    "restore it from a backup. `nudge-sync rollback --originals` works without it: it leaves those "
    "vectors, and with --drifted puts their originals back, also where the application embedded "
    "points again. Nothing was written"
)
"""What to do where the history does not tell whose a vector is."""


class Ownership(Enum):
    """What a point's live vector is, as far as the sidecar knows."""

    UNMOVED = "new"
    """Never moved: the live vector is the original."""
    ORIGINAL = "original"
    """The live vector is the newest original in the shadow."""
    OURS = "written"
    """The live vector is one that a revision wrote."""
    FOREIGN = "drifted"
    """Neither: the application re-embedded the point, so the live vector is its new original."""


@dataclass(frozen=True)
class ClassifiedPoints:
    """Points that exist, row by row, and the ids that do not."""

    ids: list[PointId]
    live_vectors: Float32
    """(n, d): what each point holds now."""
    originals: Float32
    """(n, d): what each point held before it was ever moved."""
    ownership: list[Ownership]
    missing: list[PointId]
    """Ids that were asked for and do not exist."""
    must_add_original: NDArray[np.bool_]
    """(n,): whether the original has to be added to the shadow before the point is moved."""
    stored_at: NDArray[np.int64]
    """(n,): the revision that stored the newest original of the shadow; 0 where it holds none."""

    def select(self, rows: NDArray[np.intp]) -> ClassifiedPoints:
        """Return some of the rows, in the order given; `missing` stays."""
        return ClassifiedPoints(
            ids=[self.ids[row] for row in rows],
            live_vectors=self.live_vectors[rows],
            originals=self.originals[rows],
            ownership=[self.ownership[row] for row in rows],
            missing=self.missing,
            must_add_original=self.must_add_original[rows],
            stored_at=self.stored_at[rows],
        )

    def find_rows(self, *ownerships: Ownership) -> NDArray[np.intp]:
        """Return the rows whose live vector is of one of these kinds."""
        return np.flatnonzero([ownership in ownerships for ownership in self.ownership])


def classify_points(
    target: Target,
    ids: Sequence[PointId],
    stored_originals: OriginalsByPoint | None = None,
    ledger: Ledger | None = None,
    *,
    may_lack_history: bool = False,
) -> ClassifiedPoints:
    """Return what each of `ids` holds now, whose vector that is, and what its original is.

    A live vector that the shadow holds is an original. One that a revision wrote is ours, and its
    original the one it was made from. Any other is the application's, and an original itself.
    stored_originals: `Shadow.read_originals()`, and the ledger, from a caller that has them. Both
    are read once more before an original is called gone: a cycle beside may have stored it since.
    may_lack_history: vectors of ours count as foreign where the history of what is live is gone.
    Raises DamagedRecord where a point holds a vector that a revision wrote while its original is
    gone, or where the ledger is gone or older than what it tells of: then nothing tells what to go
    back to.
    """
    originals = target.shadow.read_originals() if stored_originals is None else stored_originals
    classify = partial(_classify_points, target, ids, may_lack_history=may_lack_history)
    try:
        return classify(originals, ledger or target.open_ledger())
    except _OriginalNotFound:
        originals = target.shadow.read_originals()
    try:
        return classify(originals, target.open_ledger())
    except _OriginalNotFound as error:
        raise _build_lost_original_error(error.point, target) from None


class _OriginalNotFound(Exception):
    """A point holds a nudged vector, and the originals that were read do not hold its own."""

    def __init__(self, point: PointId) -> None:
        super().__init__(point)
        self.point = point


def _classify_points(
    target: Target,
    ids: Sequence[PointId],
    originals_by_point: OriginalsByPoint,
    ledger: Ledger,
    *,
    may_lack_history: bool,
) -> ClassifiedPoints:
    points = target.collection.read(ids)
    existing_ids = set(points.ids)
    versions_by_row = [originals_by_point.get(point, ()) for point in points.ids]
    live_originals = _find_live_originals(target, versions_by_row, points.vectors)
    originals_of_ours = _trace_originals(target, ledger, points, versions_by_row, live_originals)
    row_originals = [originals_of_ours.get(row, note) for row, note in enumerate(live_originals)]
    if None in row_originals and not may_lack_history:
        _refuse_lost_history(target, ledger.entries())
    return ClassifiedPoints(
        ids=points.ids,
        live_vectors=points.vectors,
        originals=_read_original_vectors(target, points.vectors, row_originals),
        ownership=[
            _classify(several, note, is_ours=row in originals_of_ours)
            for row, (several, note) in enumerate(zip(versions_by_row, live_originals, strict=True))
        ],
        missing=[point for point in ids if point not in existing_ids],
        must_add_original=np.array(
            [
                not several or note is not several[-1]
                for several, note in zip(versions_by_row, row_originals, strict=True)
            ],
            bool,
        ),
        stored_at=np.array(
            [versions[-1].revision if versions else 0 for versions in versions_by_row], np.int64
        ),
    )


def _classify(
    versions: Sequence[StoredOriginal], live_original: StoredOriginal | None, *, is_ours: bool
) -> Ownership:
    if is_ours:
        return Ownership.OURS
    if not versions:
        return Ownership.UNMOVED
    # An older one than the newest: the application went back to it by itself.
    return Ownership.ORIGINAL if live_original is versions[-1] else Ownership.FOREIGN


def _find_live_originals(
    target: Target, versions_by_row: Sequence[Sequence[StoredOriginal]], live_vectors: Float32
) -> list[StoredOriginal | None]:
    """Return, row by row, the newest original that the point holds, or None."""
    if not target.facts.rescales:
        live_digests = checksum.digest_vectors(live_vectors)
        return [
            next((note for note in reversed(several) if note.digest == live_digest), None)
            for several, live_digest in zip(versions_by_row, live_digests, strict=True)
        ]
    vectors = target.shadow.read_vectors([note for several in versions_by_row for note in several])
    return [
        next((note for note in reversed(several) if _is_same_vector(vectors[note.key], row)), None)
        for several, row in zip(versions_by_row, live_vectors, strict=True)
    ]


def _is_same_vector(left: Float32, right: Float32) -> bool:
    return bool(is_same_vector(left[None], right[None], rescales=True)[0])


def _read_original_vectors(
    target: Target, live_vectors: Float32, row_originals: Sequence[StoredOriginal | None]
) -> Float32:
    """Return (n, d): each row's original, or the live vector where the shadow holds none."""
    shadow = target.shadow
    vectors = shadow.read_vectors([note for note in row_originals if note is not None])
    originals = live_vectors.copy()
    for row, note in enumerate(row_originals):
        if note is not None:
            originals[row] = vectors[note.key]
    return originals


def _trace_originals(
    target: Target,
    ledger: Ledger,
    live_points: Points,
    versions_by_row: Sequence[Sequence[StoredOriginal]],
    live_originals: Sequence[StoredOriginal | None],
) -> dict[int, StoredOriginal]:
    """Return, by row, the original that a live vector of ours was made from."""
    unknown_rows = [row for row, note in enumerate(live_originals) if note is None]
    originals = {}
    records = _find_history_records(target, ledger, live_points, versions_by_row, unknown_rows)
    for row, record in records.items():
        original_digest = record.document["original"]
        note = next(
            (note for note in reversed(versions_by_row[row]) if note.digest == original_digest),
            None,
        )
        if note is None:
            raise _OriginalNotFound(live_points.ids[row])
        originals[row] = note
    return originals


def _build_lost_original_error(point: PointId, target: Target) -> DamagedRecord:
    return DamagedRecord(
        f'point {point!r} of "{target.facts.collection}" holds a nudged vector, but its original '
        f'is gone from "{target.shadow.collection_name}"; restore that collection from a backup. '
        "Nothing was written"
    )


def _find_history_records(
    target: Target,
    ledger: Ledger,
    live_points: Points,
    versions_by_row: Sequence[Sequence[StoredOriginal]],
    rows: Sequence[int],
) -> dict[int, Record]:
    """Return, by row, the history record of the revision that wrote the live vector."""
    records: dict[int, Record] = {}
    if not rows:
        return records
    history, rescales = target.history, target.facts.rescales
    remaining = {live_points.ids[row]: row for row in rows}
    entries = ledger.entries()
    refuse_lost_revisions(target, entries, dict(zip(live_points.ids, versions_by_row, strict=True)))
    for revision in _list_candidate_revisions(entries):
        for point, record in history.read_records(
            revision, list(remaining), vectors=rescales
        ).items():
            if has_same_vector(record, live_points.vectors[remaining[point]], rescales=rescales):
                records[remaining.pop(point)] = record
        if not remaining:
            break
    return records


def _refuse_lost_history(target: Target, entries: list[Revision]) -> None:
    for entry in entries:
        has_written_rows = entry.number == find_head(entries) and entry.details.rows
        if has_written_rows and not target.history.records.count({"revision": entry.number}):
            raise DamagedRecord(
                f'"{target.history.collection_name}" holds nothing of revision {entry.number}, so '
                f"that nothing tells its vectors from the application's; {_WITHOUT_HISTORY}"
            )


def refuse_partial_history(target: Target, entries: list[Revision]) -> None:
    """Raise DamagedRecord if the history has lost records of the revision that is live.

    A cycle would take the vectors that they tell of for the application's, and for new originals;
    a rollback only leaves such points alone. Nothing deletes history of what is live.
    """
    head = find_head(entries)
    for entry in entries:
        if entry.number != head or entry.details.thinned:
            continue
        stored = target.history.records.count({"revision": head})
        if stored < entry.details.rows:
            raise DamagedRecord(
                f'"{target.history.collection_name}" holds {stored} of the {entry.details.rows} '
                f"rows of revision {head}, so that nothing tells the other vectors from the "
                f"application's; {_WITHOUT_HISTORY}"
            )


def has_same_vector(record: Record, vector: Float32, *, rescales: bool) -> bool:
    """Return whether `vector` (d,) is the vector of a history record."""
    if not rescales:
        return bool(record.document["vector"] == checksum.digest_vector(vector))
    if record.vector is None:
        raise DamagedRecord(f"record {record.key!r} has lost its vector")
    return _is_same_vector(vector, record.vector)


def _list_candidate_revisions(entries: list[Revision]) -> Iterator[int]:
    """Yield the revisions that may have written a live vector, the head's lineage first."""
    head_lineage = trace_lineage(entries, entries[-1].to) if entries else []
    numbers = [entry.number for entry in reversed(entries) if not entry.details.collected]
    yield from (number for number in head_lineage if number in numbers)
    yield from (number for number in numbers if number not in head_lineage)
