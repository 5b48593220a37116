"""The shadow collection, and telling our own vectors from the application's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from nudge_sync import digest
from nudge_sync.compare import same
from nudge_sync.connector import Float32, PointId, Record, Records
from nudge_sync.errors import DamagedRecord, WriteNotVerified
from nudge_sync.history import History
from nudge_sync.revisions import Ledger, lineage, now
from nudge_sync.target import Target


class Standing(Enum):
    """What a point's live vector is, as far as the sidecar knows."""

    NEW = "new"
    """Never moved: the live vector is the original."""
    ORIGINAL = "original"
    """In the shadow, and the live vector is the original."""
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

    def where(self, *standings: Standing) -> NDArray[np.intp]:
        """The rows of these standings."""
        return np.flatnonzero([standing in standings for standing in self.standing])


class Shadow:
    """The originals of one collection: written once, never changed unless the application
    re-embedded the point.
    """

    def __init__(self, records: Records, place: str) -> None:
        self.records = records
        self._place = f"{place}__nudge_originals"

    def enter(self, revision: int, ids: Sequence[PointId], vectors: Float32) -> None:
        """Store originals and read them back, bit for bit.

        Raises WriteNotVerified; then nothing may be written over them.
        """
        records = [
            digest.sealed(digest.key_of(point), _document(revision, point), vector)
            for point, vector in zip(ids, vectors, strict=True)
        ]
        self.records.put(records)
        stored = self.records.get([record.key for record in records])
        if [_bits(record) for record in stored] != [_bits(record) for record in records]:
            raise WriteNotVerified(
                f'"{self._place}": an original read back differs from what was put there; '
                "nothing was written to the collection"
            )

    def of(self, ids: Sequence[PointId]) -> dict[PointId, Float32]:
        """The originals of those of `ids` that have one. Raises DamagedRecord."""
        found = self.records.get([digest.key_of(point) for point in ids])
        opened = digest.opened(found, self._place)
        return {record.document["id"]: _vector(record) for record in opened}

    def ids(self) -> list[PointId]:
        """Every point that was ever moved, in a fixed order."""
        found: list[PointId] = [
            record.document["id"]
            for batch in self.records.scan(vectors=False)
            for record in digest.opened(batch, self._place)
        ]
        return sorted(found, key=str)


def _document(revision: int, point: PointId) -> dict[str, PointId]:
    return {"id": point, "revision": revision, "at": now()}


def _bits(record: Record) -> tuple[str, str, bytes]:
    return record.key, record.document["seal"], _vector(record).tobytes()


def _vector(record: Record) -> Float32:
    if record.vector is None:
        raise DamagedRecord(f"record {record.key!r} has lost its vector")
    return record.vector


def recognise(target: Target, ids: Sequence[PointId]) -> Recognised:
    """What each of `ids` holds now, and what its original is.

    Raises DamagedRecord where a point holds a vector that a revision wrote while its original is
    gone, or where the ledger is gone: then nothing tells what to go back to.
    """
    points = target.collection.read(ids)
    there = set(points.ids)
    missing = [point for point in ids if point not in there]
    shadow = Shadow(target.originals, target.place).of(points.ids)
    originals = _stacked(points.ids, shadow, points.vectors)
    standing = _standing(target, points.ids, points.vectors, originals, shadow)
    for row, value in enumerate(standing):
        if value is Standing.DRIFTED:
            originals[row] = points.vectors[row]
    return Recognised(points.ids, points.vectors, originals, standing, missing)


def _stacked(ids: Sequence[PointId], found: dict[PointId, Float32], otherwise: Float32) -> Float32:
    stacked = otherwise.copy()
    for row, point in enumerate(ids):
        if point in found:
            stacked[row] = found[point]
    return stacked


def _standing(
    target: Target,
    ids: list[PointId],
    live: Float32,
    originals: Float32,
    shadow: dict[PointId, Float32],
) -> list[Standing]:
    rescales = target.facts.rescales
    untouched = same(live, originals, rescales=rescales)
    unsure = [row for row, point in enumerate(ids) if point not in shadow or not untouched[row]]
    made_from = [digest.of_vector(originals[row]) if ids[row] in shadow else "" for row in unsure]
    ours = _written(target, [ids[row] for row in unsure], live[unsure], made_from)
    standing = [Standing.ORIGINAL] * len(ids)
    for row, point in enumerate(ids):
        if point not in shadow:
            standing[row] = Standing.NEW
            if point in ours:
                raise _lost(point, target)
        elif not untouched[row]:
            standing[row] = Standing.WRITTEN if point in ours else Standing.DRIFTED
    return standing


def _lost(point: PointId, target: Target) -> DamagedRecord:
    return DamagedRecord(
        f'point {point!r} of "{target.facts.collection}" holds a nudged vector, but its original '
        f'is gone from "{target.place}__nudge_originals"; restore that collection from a backup. '
        "Nothing was written"
    )


def _written(
    target: Target, ids: list[PointId], live: Float32, made_from: list[str]
) -> set[PointId]:
    """Those of `ids` whose live vector some revision wrote.

    made_from: digest of the original that the vector must have been made from; "" for any.
    """
    if not ids:
        return set()
    history, ours = History(target.history, target.place), set()
    rows = {point: row for row, point in enumerate(ids)}
    left = list(ids)
    for revision in _searched(target):
        records = history.at(revision, left, vectors=target.facts.rescales)
        for point, record in records.items():
            row = rows[point]
            if made_from[row] not in {"", record.document["original"]}:
                continue
            if holds(record, live[row], rescales=target.facts.rescales):
                ours.add(point)
        left = [point for point in left if point not in ours]
        if not left:
            break
    return ours


def holds(record: Record, live: Float32, *, rescales: bool) -> bool:
    """Whether `live` (d,) is the vector of a history record."""
    if rescales:
        return bool(same(live[None], _vector(record)[None], rescales=True)[0])
    return bool(record.document["vector"] == digest.of_vector(live))


def _searched(target: Target) -> Iterator[int]:
    """The revisions that may have written what is live: what the head was built on first."""
    entries = Ledger(target.ledger, target.place).entries()
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
