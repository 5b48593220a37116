"""Telling our own vectors from the application's, and what each point's original is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import Float32, PointId, Points, Record
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.errors import DamagedRecord
from nudge_sync.store import checksum
from nudge_sync.store.history import History
from nudge_sync.store.ledger import Ledger, Revision, head, lineage
from nudge_sync.store.shadow import Original, Shadow
from nudge_sync.store.target import Target

__all__ = ["Notes", "Recognised", "Shadow", "Standing", "holds", "recognise"]

Notes = Mapping[PointId, Sequence[Original]]


class Standing(Enum):
    """What a point's live vector is, as far as the sidecar knows."""

    NEW = "new"
    """Never moved: the live vector is the original."""
    ORIGINAL = "original"
    """The live vector is the newest original in the shadow."""
    WRITTEN = "written"
    """The live vector is one that a revision wrote."""
    DRIFTED = "drifted"
    """Neither: the application re-embedded the point, so the live vector is its new original."""


@dataclass(frozen=True)
class Recognised:
    """Points that exist, row by row, and the ids that do not."""

    ids: list[PointId]
    live: Float32
    originals: Float32
    standing: list[Standing]
    missing: list[PointId]
    enter: NDArray[np.bool_]
    """Rows whose original is not the newest in the shadow: whoever moves them has to enter it."""

    def only(self, rows: NDArray[np.intp]) -> Recognised:
        """Some of the rows, in the order given; what is missing stays."""
        return Recognised(
            ids=[self.ids[row] for row in rows],
            live=self.live[rows],
            originals=self.originals[rows],
            standing=[self.standing[row] for row in rows],
            missing=self.missing,
            enter=self.enter[rows],
        )

    def where(self, *standings: Standing) -> NDArray[np.intp]:
        """The rows of these standings."""
        return np.flatnonzero([standing in standings for standing in self.standing])


def recognise(
    target: Target,
    ids: Sequence[PointId],
    notes: Notes | None = None,
    ledger: Ledger | None = None,
) -> Recognised:
    """What each of `ids` holds now, and what its original is.

    A live vector that the shadow holds is an original. One that a revision wrote is ours, and its
    original the one it was made from. Any other is the application's, and an original itself.
    notes: `Shadow.notes()`, and the ledger, from a caller that has them.
    Raises DamagedRecord where a point holds a vector that a revision wrote while its original is
    gone, or where the ledger is gone: then nothing tells what to go back to.
    """
    points = target.collection.read(ids)
    there = set(points.ids)
    known = Shadow(target.originals, target.place).notes() if notes is None else notes
    own = [known.get(point, ()) for point in points.ids]
    held = _held_originals(target, own, points.vectors)
    ledger = ledger or Ledger(target.ledger, target.place)
    ours = _made_from(target, ledger, points, own, held)
    used = [ours.get(row, note) for row, note in enumerate(held)]
    return Recognised(
        ids=points.ids,
        live=points.vectors,
        originals=_originals(target, points.vectors, used),
        standing=[
            _standing(several, note, written=row in ours)
            for row, (several, note) in enumerate(zip(own, held, strict=True))
        ],
        missing=[point for point in ids if point not in there],
        enter=np.array(
            [
                not several or note is not several[-1]
                for several, note in zip(own, used, strict=True)
            ],
            bool,
        ),
    )


def _standing(own: Sequence[Original], held: Original | None, *, written: bool) -> Standing:
    if written:
        return Standing.WRITTEN
    if not own:
        return Standing.NEW
    # An older one than the newest: the application went back to it by itself.
    return Standing.ORIGINAL if held is own[-1] else Standing.DRIFTED


def _held_originals(
    target: Target, own: Sequence[Sequence[Original]], live: Float32
) -> list[Original | None]:
    """For each row the newest original that is live there, if one is."""
    if not target.facts.rescales:
        found = checksum.of_vectors(live)
        return [
            next((note for note in reversed(several) if note.digest == bits), None)
            for several, bits in zip(own, found, strict=True)
        ]
    vectors = Shadow(target.originals, target.place).vectors(
        [note for several in own for note in several]
    )
    return [
        next((note for note in reversed(several) if _alike(vectors[note.key], row)), None)
        for several, row in zip(own, live, strict=True)
    ]


def _alike(left: Float32, right: Float32) -> bool:
    return bool(is_same_vector(left[None], right[None], rescales=True)[0])


def _originals(target: Target, live: Float32, used: Sequence[Original | None]) -> Float32:
    """The vector of each row's original; what is live where the shadow does not hold it."""
    shadow = Shadow(target.originals, target.place)
    vectors = shadow.vectors([note for note in used if note is not None])
    originals = live.copy()
    for row, note in enumerate(used):
        if note is not None:
            originals[row] = vectors[note.key]
    return originals


def _made_from(
    target: Target,
    ledger: Ledger,
    live: Points,
    own: Sequence[Sequence[Original]],
    held: Sequence[Original | None],
) -> dict[int, Original]:
    """By row, where a revision wrote what is live: the original that it was made from."""
    unsure = [row for row, note in enumerate(held) if note is None]
    found = {}
    for row, record in _written(target, ledger, live, unsure).items():
        made_from = record.document["original"]
        note = next((note for note in reversed(own[row]) if note.digest == made_from), None)
        if note is None:
            raise _lost(live.ids[row], target)
        found[row] = note
    return found


def _lost(point: PointId, target: Target) -> DamagedRecord:
    return DamagedRecord(
        f'point {point!r} of "{target.facts.collection}" holds a nudged vector, but its original '
        f'is gone from "{target.place}__nudge_originals"; restore that collection from a backup. '
        "Nothing was written"
    )


def _written(
    target: Target, ledger: Ledger, live: Points, rows: Sequence[int]
) -> dict[int, Record]:
    """Of `rows` those whose live vector some revision wrote, each with that history record."""
    found: dict[int, Record] = {}
    if not rows:
        return found
    history, rescales = History(target.history, target.place), target.facts.rescales
    left = {live.ids[row]: row for row in rows}
    entries = ledger.entries()
    for revision in _searched(target, entries):
        for point, record in history.at(revision, list(left), vectors=rescales).items():
            if holds(record, live.vectors[left[point]], rescales=rescales):
                found[left.pop(point)] = record
        if not left:
            return found
    _refuse_lost_history(target, entries)
    return found


def _refuse_lost_history(target: Target, entries: list[Revision]) -> None:
    for entry in entries:
        written = entry.number == head(entries) and entry.details.get("rows")
        if written and not target.history.count({"revision": entry.number}):
            raise DamagedRecord(
                f'"{target.place}__nudge_history" holds nothing of revision {entry.number}, so '
                "that nothing tells its vectors from the application's; restore it from a backup. "
                "Nothing was written"
            )


def holds(record: Record, live: Float32, *, rescales: bool) -> bool:
    """Whether `live` (d,) is the vector of a history record."""
    if not rescales:
        return bool(record.document["vector"] == checksum.of_vector(live))
    if record.vector is None:
        raise DamagedRecord(f"record {record.key!r} has lost its vector")
    return _alike(live, record.vector)


def _searched(target: Target, entries: list[Revision]) -> Iterator[int]:
    """The revisions that may have written what is live: what the head was built on first."""
    if not entries and target.originals.count():
        raise DamagedRecord(
            f'"{target.place}__nudge_revisions" is empty although '
            f'"{target.place}__nudge_originals" is not; restore it from a backup. Nothing was '
            "written"
        )
    likely = lineage(entries, entries[-1].to) if entries else []
    noted = [entry.number for entry in reversed(entries) if not entry.details.get("collected")]
    yield from (number for number in likely if number in noted)
    yield from (number for number in noted if number not in likely)
