"""The shadow collection: what every moved point held before it was moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nudge_sync.connector import Float32, PointId, Record, Records
from nudge_sync.errors import DamagedRecord, WriteNotVerified
from nudge_sync.store import checksum, schema
from nudge_sync.store.ledger import now


@dataclass(frozen=True)
class Original:
    """A note that a point once had this original; the vector itself is read when it is needed."""

    key: str
    point: PointId
    revision: int
    """The revision that entered it."""
    digest: str


class Shadow:
    """The originals of one collection. Only ever added to: a revision enters what it moves under
    keys of its own, so that not even a process that was paused and wakes long after another took
    over can put an older original in the place of a newer one.
    """

    def __init__(self, records: Records, place: str) -> None:
        self.records = records
        self._place = f"{place}__nudge_originals"

    def enter(self, revision: int, ids: Sequence[PointId], vectors: Float32) -> None:
        """Store originals and read them back, bit for bit.

        Raises WriteNotVerified; then nothing may be written over them.
        """
        records = [
            checksum.sealed(f"{revision}:{point}", _document(revision, point), vector)
            for point, vector in zip(ids, vectors, strict=True)
        ]
        self.records.put(records)
        stored = self.records.get([record.key for record in records])
        if [_bits(record) for record in stored] != [_bits(record) for record in records]:
            raise WriteNotVerified(
                f'"{self._place}": an original read back differs from what was put there; '
                "nothing was written to the collection"
            )

    def notes(self) -> dict[PointId, list[Original]]:
        """The originals of every point that was ever moved, oldest first. Raises DamagedRecord."""
        found: dict[PointId, list[Original]] = {}
        for batch in self.records.scan(vectors=False):
            for record in schema.opened(batch, self._place, schema.OriginalLine, vectors=False):
                note = _note(record)
                found.setdefault(note.point, []).append(note)
        for several in found.values():
            several.sort(key=lambda note: note.revision)
        return found

    def ids(self) -> list[PointId]:
        """Every point that was ever moved, in a fixed order."""
        return sorted(self.notes(), key=str)

    def of(self, ids: Sequence[PointId]) -> dict[PointId, Float32]:
        """The newest original of each of `ids` that has one. Raises DamagedRecord."""
        notes = self.notes()
        newest = {point: notes[point][-1] for point in ids if point in notes}
        vectors = self.vectors(list(newest.values()))
        return {point: vectors[note.key] for point, note in newest.items()}

    def vectors(self, notes: Sequence[Original]) -> dict[str, Float32]:
        """The vectors of these originals, by key. Raises DamagedRecord."""
        keys = list(dict.fromkeys(note.key for note in notes))
        stored = self.records.get(keys)
        records = schema.opened(stored, self._place, schema.OriginalLine, vectors=True)
        found = {record.key: _vector(record) for record in records}
        for key in keys:
            if key not in found:
                raise DamagedRecord(f'record {key!r} is gone from "{self._place}"')
        return found

    def forget(self, notes: Sequence[Original]) -> None:
        """Delete these originals."""
        self.records.delete([note.key for note in notes])


def _note(record: Record) -> Original:
    document = record.document
    return Original(record.key, document["id"], document["revision"], document["vector"])


def _document(revision: int, point: PointId) -> dict[str, PointId]:
    return {"id": point, "revision": revision, "at": now()}


def _bits(record: Record) -> tuple[str, str, bytes]:
    return record.key, record.document["seal"], _vector(record).tobytes()


def _vector(record: Record) -> Float32:
    if record.vector is None:
        raise DamagedRecord(f"record {record.key!r} has lost its vector")
    return record.vector
